"""ComfyUI's own modules in this process, on the CPU. Import it before whatever imports `comfy`."""

from __future__ import annotations

import logging

from ..training.comfyui import open_comfyui

KEPT = open_comfyui()


def hush() -> None:
    """ComfyUI tells every load of a model to the root logger itself; our loggers have names."""
    logging.getLogger().addFilter(lambda record: record.levelno > logging.INFO)
