"""Networks as ONNX files, and ComfyUI's own objects that run these by onnxruntime on the CPU."""
