"""ComfyUI's own modules inside the test process, on the CPU: for what needs no server."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def comfy_modules() -> Iterator[None]:
    """Makes `import comfy` work for the rest of the run."""
    folder = os.environ.get("COMFYUI_DIR")
    if not folder:
        pytest.skip("set COMFYUI_DIR, or use scripts/test.py")
    from comfyui_tandem.headless.launch import import_torchvision

    sys.path.append(folder)  # at the end: it has packages named nodes, utils and tests
    kept = import_torchvision()
    from comfy.cli_args import args

    args.cpu = True
    import torch

    torch.set_num_threads(1)  # on a busy machine two threads of one small job wait for each other
    yield
    sys.path.remove(folder)
    del kept


@pytest.fixture(scope="module", autouse=True)
def release(comfy_modules: None) -> Iterator[None]:
    """No module begins with the models of the one before."""
    yield
    from .chains import forget

    forget()
