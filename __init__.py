"""Tandem: several ControlNets at once, fast and hands-free, in ComfyUI.

ComfyUI loads this folder from `custom_nodes/` and calls `comfy_entrypoint`. The same folder is the
installable package `comfyui_tandem`; importing it needs neither ComfyUI nor torch, because the
edge worker runs on machines that have neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .nodes import TandemExtension

__version__ = "0.1.0"

WEB_DIRECTORY = "./web"


async def comfy_entrypoint() -> TandemExtension:
    from .nodes import TandemExtension

    return TandemExtension()


__all__ = ["WEB_DIRECTORY", "__version__", "comfy_entrypoint"]
