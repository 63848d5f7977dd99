"""Scales that are measured: before a run, and what a run measured."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..engine.conditions import Hint
from .learned import BY_RULE, chosen, fingerprint, learned_input
from .show import json_safe, listed
from .sockets import Hints, ScalesSocket

FLOATS = 6  # sockets of single scales


class EstimateScales(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="TandemEstimateScales",
            display_name="Estimate Scales",
            category="Tandem/conditions",
            description="Samples two steps and throws them away, to measure what each condition "
            "adds: for Apply Conditions, and as numbers for other packs' nodes. Apply Conditions "
            "with 'estimate' measures the same without the extra steps.",
            inputs=[
                io.Model.Input("model", tooltip="What will be sampled with."),
                io.Conditioning.Input("positive", tooltip="What the picture shall show."),
                io.Conditioning.Input("negative", tooltip="What it shall not show."),
                Hints.Input("hints", tooltip="From Run Conditions."),
                io.Latent.Input("latent_image", tooltip="What the sampler gets: its size counts."),
                io.Int.Input(
                    "seed", default=0, min=0, max=2**64 - 1, control_after_generate=True,
                    tooltip="Of the noise; the sampler's own, for what it would measure.",
                ),
                io.Vae.Input(
                    "vae", optional=True, tooltip="Only for ControlNets that ask for one."
                ),
                learned_input(
                    "What lowers the conditions that stay: the rule, or what `tandem calibrate "
                    "scales` learned of your models."
                ),
            ],
            outputs=[
                ScalesSocket.Output("scales", "scales"),
                io.String.Output("summary", "summary"),
                *(io.Float.Output(f"scale_{n}", f"scale {n}") for n in range(1, FLOATS + 1)),
            ],
        )  # fmt: skip

    @classmethod
    def fingerprint_inputs(cls, learned: str = BY_RULE, **rest: Any) -> str:
        return fingerprint(learned)

    @classmethod
    def execute(
        cls,
        model: Any,
        positive: Any,
        negative: Any,
        hints: tuple[Hint, ...],
        latent_image: Any,
        seed: int,
        vae: Any = None,
        learned: str = BY_RULE,
    ) -> io.NodeOutput:
        from ..engine.scaling.few_steps import scales_by_few_steps
        from ..engine.scaling.ledger import Row
        from ..engine.scaling.payload import scales_payload
        from ..engine.scaling.settings import Settings

        sides, start = (positive, negative), latent_image["samples"]
        settings = Settings(learned=chosen(learned))
        scales = scales_by_few_steps(model, sides, hints, start, seed, settings, vae)
        single = [row.scale for row in scales.rows[:FLOATS]]
        single += [0.0] * (FLOATS - len(single))
        ui = {"tandem_scales": [json_safe(scales_payload(map(Row, scales.rows)))]}
        summary = listed(scales.rows, "Two extra steps were sampled.")
        return io.NodeOutput(scales, summary, *single, ui=ui)


class Report(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="TandemReport",
            display_name="Scale Report",
            category="Tandem/conditions",
            description="What a run with 'estimate' in Apply Conditions made of each condition: "
            "its scale, how often its ControlNet was called, and why it was left out.",
            inputs=[
                io.Latent.Input("latent", tooltip="As it came out of the sampler."),
                io.Conditioning.Input("positive", tooltip="As it went into the sampler."),
            ],
            outputs=[io.String.Output("summary", "summary")],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, latent: Any, positive: Any) -> io.NodeOutput:
        from ..engine.scaling.apply import rows_of_run
        from ..engine.scaling.ledger import UnknownRun
        from ..engine.scaling.payload import nothing_known, scales_payload

        try:
            rows = rows_of_run(positive, latent["samples"])
        except UnknownRun as why:  # the picture is there: no reason to fail the prompt
            ui = {"tandem_scales": [json_safe(nothing_known(str(why)))]}
            return io.NodeOutput(str(why), ui=ui)
        ui = {"tandem_scales": [json_safe(scales_payload(rows))]}
        return io.NodeOutput(listed(rows), ui=ui)
