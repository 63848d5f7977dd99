"""From hints to conditioning."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..engine.conditions import Hint
from .show import json_safe
from .sockets import Hints


class ApplyConditions(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="TandemApplyConditions",
            display_name="Apply Conditions",
            category="Tandem/conditions",
            description="Puts every hint's ControlNet behind both prompts, in the order of the "
            "chain. Feed the two outputs to any sampler.",
            inputs=[
                io.Conditioning.Input("positive", tooltip="What the picture shall show."),
                io.Conditioning.Input("negative", tooltip="What it shall not show."),
                Hints.Input("hints", tooltip="From Run Conditions."),
                io.Vae.Input(
                    "vae", optional=True, tooltip="Only for ControlNets that ask for one."
                ),
            ],
            outputs=[
                io.Conditioning.Output("positive_out", "positive"),
                io.Conditioning.Output("negative_out", "negative"),
                io.String.Output("summary", "summary"),
            ],
        )

    @classmethod
    def execute(
        cls, positive: Any, negative: Any, hints: tuple[Hint, ...], vae: Any = None
    ) -> io.NodeOutput:
        from ..engine.control import apply_hints

        (pos, neg), told = apply_hints((positive, negative), hints, vae)
        rows = [
            {
                "cond": one.cond,
                "scale": one.scale,
                "contribution": None,  # measured by the scale estimator alone
                "pruned": not one.applied,
                "reason": one.reason,
            }
            for one in told
        ]
        summary = "\n".join(
            f"{one.cond}: scale {one.scale:.2f}"
            if one.applied
            else f"{one.cond}: left out, {one.reason}"
            for one in told
        )
        ui = {"tandem_scales": [json_safe({"v": 1, "rows": rows})]}
        return io.NodeOutput(pos, neg, summary, ui=ui)
