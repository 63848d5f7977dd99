"""The HTTP service that runs conditions on another machine.

    serve -> app -> gate (who may ask) -> routes -> pool -> child (decodes, detects, encodes)

The serving process imports neither torch nor OpenCV and decodes no picture: that happens in child
processes which can be killed. Needs FastAPI and uvicorn (extra `worker`), and not ComfyUI.
"""
