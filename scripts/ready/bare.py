"""The clone as the package `comfyui_tandem`, without installing anything."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NAME = "comfyui_tandem"


def register_clone() -> None:
    """Makes `import comfyui_tandem` mean this clone, also where another one is installed."""
    file = ROOT / "__init__.py"
    spec = spec_from_file_location(NAME, file, submodule_search_locations=[str(ROOT)])
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} cannot be imported")
    module = module_from_spec(spec)
    sys.modules[NAME] = module
    spec.loader.exec_module(module)
