"""ComfyUI's own modules in this process, on the CPU. Import it before whatever imports `comfy`."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any

from ..engine.errors import Unavailable
from ..headless.launch import import_torchvision

PINNED = Path(__file__).resolve().parents[1] / ".comfyui"  # made by scripts/test.py


def _open_comfy() -> Any:
    """What has to live as long as torchvision is used."""
    found = sorted(PINNED.glob("ComfyUI-*"))
    folder = os.environ.get("COMFYUI_DIR") or (str(found[-1]) if found else None)
    if folder is None:
        raise Unavailable("ComfyUI", None, "set COMFYUI_DIR, or run scripts/test.py once")
    sys.path.append(folder)  # at the end: it has packages named nodes, utils and tests
    kept = import_torchvision()
    from comfy.cli_args import args

    args.cpu = True
    return kept


KEPT = _open_comfy()


def hush() -> None:
    """ComfyUI tells every load of a model to the root logger itself; our loggers have names."""
    logging.getLogger().addFilter(lambda record: record.levelno > logging.INFO)
