"""ComfyUI's own modules whose names are taken here."""

from __future__ import annotations

import os
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any


@cache
def core_file(name: str) -> Any:
    """A module of ComfyUI by its file."""
    path = Path(os.environ["COMFYUI_DIR"]) / name
    spec = spec_from_file_location(f"core_{path.stem}", path)
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def core_nodes() -> Any:
    """ComfyUI's nodes.py."""
    return core_file("nodes.py")
