"""Start-up file of a child: runs from a bare clone as well as from an installed package."""

import importlib.util
import sys
from pathlib import Path


def load_package() -> None:
    """Register this folder's parent as `comfyui_tandem`, whatever its name and path."""
    root = Path(__file__).resolve().parents[1]
    spec = importlib.util.spec_from_file_location(
        "comfyui_tandem", root / "__init__.py", submodule_search_locations=[str(root)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"no package in {root}")
    package = importlib.util.module_from_spec(spec)
    sys.modules["comfyui_tandem"] = package
    spec.loader.exec_module(package)


if __name__ == "__main__":
    load_package()
    from comfyui_tandem.edge_worker.child import main

    main()
