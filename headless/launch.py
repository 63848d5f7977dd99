"""Starts the ComfyUI in the current folder; runs as a child, by start.py.

Beside a CPU build of torch, torchvision's own build from the same index does not import: it was
compiled for CUDA and its operators are not there. What ComfyUI uses of it does not need them, so
their names are declared and the import is tried again. Where the plain import works, or ComfyUI
runs on a GPU, nothing is touched.
"""

from __future__ import annotations

import runpy
import signal
import sys
from importlib import import_module
from typing import Any

OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


def import_torchvision() -> Any:
    """Imports it; returns what has to live as long as it is used, None where it just worked."""
    try:
        import_module("torchvision")
    except RuntimeError:
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        return _declare_operators()
    return None


def _declare_operators() -> Any:
    import torch

    library = torch.library.Library("torchvision", "DEF")
    for operator in OPERATORS:
        library.define(operator)
    import_module("torchvision")
    return library


def main() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a background job
    kept = import_torchvision() if "--cpu" in sys.argv else None
    runpy.run_path("main.py", run_name="__main__")
    del kept


if __name__ == "__main__":
    main()
