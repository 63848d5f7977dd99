"""Detectors that are networks in ONNX files: how each is fed and what its output means."""
