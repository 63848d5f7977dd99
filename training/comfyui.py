"""ComfyUI's own modules in this process, for commands and benchmarks that start no server."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from ..engine.errors import Unavailable
from ..headless.launch import import_torchvision

ROOT = Path(__file__).resolve().parents[1]
MAIN = "main.py"


def open_comfyui(folder: Path | None = None, *, gpu: bool = False) -> Any:
    """Makes `import comfy` work; gives what has to live as long as torchvision is used.

    Args:
        folder: None: COMFYUI_DIR; else the one around the pack; else the copy of scripts/test.py.
        gpu: whether models may be on one, if there is any.
    Raises:
        Unavailable: there is no ComfyUI, or this Python is not the one that runs it.
    """
    place = folder or _found()
    if place is None or not (place / MAIN).is_file():
        do = "name its folder with --comfyui, or set COMFYUI_DIR"
        raise Unavailable("ComfyUI", str(place), do)
    sys.path.append(str(place.resolve()))  # at the end: it has packages named nodes, utils, tests
    try:
        import torch
    except ModuleNotFoundError as error:
        raise Unavailable("package", error.name, "use the Python that runs ComfyUI") from error
    if gpu and (torch.cuda.is_available() or torch.backends.mps.is_available()):
        return None
    kept = import_torchvision()
    from comfy.cli_args import args

    args.cpu = True
    return kept


def _found() -> Path | None:
    if named := os.environ.get("COMFYUI_DIR"):
        return Path(named)
    if ROOT.parent.name == "custom_nodes":
        return ROOT.parents[1]
    return max((ROOT / ".comfyui").glob("ComfyUI-*"), default=None)
