"""A second pack for the tests: pictures that no honest node makes, values, an empty memory."""

from __future__ import annotations

import sys
from typing import Any

import torch
from aiohttp import web
from comfy_api.latest import ComfyExtension, io
from server import PromptServer

PICTURES = {
    "nan": lambda: torch.full((1, 64, 64, 3), float("nan")),
    "infinite": lambda: torch.full((1, 64, 64, 3), float("inf")),
    "empty batch": lambda: torch.zeros(0, 64, 64, 3),
    "one pixel": lambda: torch.zeros(1, 1, 1, 3),
    "odd": lambda: torch.rand(1, 77, 301, 3),
    "three": lambda: torch.rand(3, 64, 96, 3),
    "with alpha": lambda: torch.rand(1, 64, 64, 4),
    "two channels": lambda: torch.rand(1, 64, 64, 2),
    "out of range": lambda: torch.rand(1, 64, 64, 3) * 9 - 4,
}


class HostilePicture(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ProbePicture",
            category="probe",
            inputs=[io.String.Input("kind")],
            outputs=[io.Image.Output("picture")],
        )

    @classmethod
    def execute(cls, kind: str) -> io.NodeOutput:
        return io.NodeOutput(PICTURES[kind]())


class TakeValue(io.ComfyNode):
    """Ends a branch without saving anything; shows the value as text."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ProbeValue",
            category="probe",
            inputs=[io.AnyType.Input("value")],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, value: Any) -> io.NodeOutput:
        return io.NodeOutput(ui={"value": [str(value)[:1000]]})


@PromptServer.instance.routes.post("/tandem_probe/forget")
async def forget(_: web.Request) -> web.Response:
    """Drops the hints that the pack keeps from run to run, and what it knows of addresses:
    a port comes again, and a test's worker must not be taken for one that was killed there."""
    module("nodes.offload").kept_hints().clear()
    module("engine.offload.known")._known.clear()
    return web.Response()


def module(name: str) -> Any:
    """A part of the pack, whatever ComfyUI calls the pack."""
    [found] = [sys.modules[one] for one in list(sys.modules) if one.endswith(f".{name}")]
    return found


class ProbeExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [HostilePicture, TakeValue]


def comfy_entrypoint() -> ProbeExtension:
    return ProbeExtension()
