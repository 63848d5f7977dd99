"""Networks as ONNX files, and ComfyUI's own objects that run these by onnxruntime on the CPU."""

FOLDER = "tandem_onnx"  # among ComfyUI's model folders; the key in extra_model_paths.yaml
