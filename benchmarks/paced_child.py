"""Start-up file of a paced worker's child: real detectors, each as slow as a file says."""

import importlib.util
import sys
from pathlib import Path
from typing import Any


def load_package() -> None:
    """As the worker's own start-up file does it."""
    file = Path(__file__).resolve().parents[1] / "edge_worker" / "boot_child.py"
    spec = importlib.util.spec_from_file_location("boot_child", file)
    if spec is None or spec.loader is None:
        raise ImportError(f"no {file}")
    boot = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(boot)
    boot.load_package()


def main() -> None:
    from comfyui_tandem.benchmarks.paces import FILE, paced, read_paces
    from comfyui_tandem.edge_worker import child

    paces = read_paces(Path(sys.argv[3]) / FILE)
    announce = child.Warm.announce

    def announced(self: Any) -> Any:
        found = announce(self)  # at their own speed: else each start would take a minute
        child.detect = paced(child.detect, paces)
        return found

    child.Warm.announce = announced
    child.main()


if __name__ == "__main__":
    load_package()
    main()
