"""Runs a module of this package as a child of ours: python start.py MODULE ARGUMENTS.

Works from a bare clone too, where nothing is installed. On Linux the child ends with its parent,
even one that was killed.
"""

import importlib.util
import os
import runpy
import signal
import sys
from pathlib import Path

PACKAGE = "comfyui_tandem"
PARENT = "TANDEM_PARENT"  # its process id
_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """The kernel kills us when the thread that started us ends."""
    parent = os.environ.pop(PARENT, "")
    if sys.platform != "linux" or not parent:
        return
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):  # it died before the line above
        os._exit(0)


def register_package() -> None:
    """Makes `import comfyui_tandem` mean the folder that this file lies in."""
    root = Path(__file__).resolve().parents[1]
    file = root / "__init__.py"
    spec = importlib.util.spec_from_file_location(
        PACKAGE, file, submodule_search_locations=[str(root)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} cannot be imported")
    sys.modules[PACKAGE] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[PACKAGE])


if __name__ == "__main__":
    end_with_parent()
    register_package()
    sys.path[0] = os.getcwd()  # as with -m; this file's folder would shadow other modules
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
