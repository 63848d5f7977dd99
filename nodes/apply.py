"""From hints to conditioning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfy_api.latest import io

from ..engine.conditions import Hint
from ..engine.errors import BadInput
from .learned import BY_RULE, chosen, fingerprint, learned_input
from .show import json_safe, listed
from .sockets import Hints, ScalesSocket

if TYPE_CHECKING:
    from ..engine.scaling.scale import Scales


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
                ScalesSocket.Input(
                    "scales",
                    optional=True,
                    tooltip="From Estimate Scales. Without it each condition has its strength.",
                ),
                io.Boolean.Input(
                    "estimate",
                    default=False,
                    optional=True,
                    tooltip="The sampler measures on its first steps what each condition adds, "
                    "lowers what disagrees, and leaves out what others say or nobody hears. "
                    "All scales together are never more than all strengths. Scale Report shows "
                    "what it found.",
                ),
                io.Boolean.Input(
                    "levels",
                    default=False,
                    optional=True,
                    tooltip="With 'estimate': the coarse blocks of the UNet get scales of their "
                    "own, by what each condition adds there.",
                ),
                io.Boolean.Input(
                    "reuse",
                    default=False,
                    optional=True,
                    tooltip="With 'estimate': a ControlNet that says nearly the same as on the "
                    "step before is called on every second step only; one that falls silent is "
                    "not called any more. Changes the picture a little.",
                ),
                learned_input(
                    "With 'estimate': what lowers the conditions that stay: the rule, or what "
                    "`tandem calibrate scales` learned of your models."
                ),
            ],
            outputs=[
                io.Conditioning.Output("positive_out", "positive"),
                io.Conditioning.Output("negative_out", "negative"),
                io.String.Output("summary", "summary"),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, learned: str = BY_RULE, **rest: Any) -> str:
        return fingerprint(learned)

    @classmethod
    def execute(
        cls,
        positive: Any,
        negative: Any,
        hints: tuple[Hint, ...],
        vae: Any = None,
        scales: Scales | None = None,
        estimate: bool = False,
        levels: bool = False,
        reuse: bool = False,
        learned: str = BY_RULE,
    ) -> io.NodeOutput:
        from ..engine.scaling.apply import apply_as_asked, apply_estimated, apply_scaled
        from ..engine.scaling.ledger import Row
        from ..engine.scaling.payload import scales_payload
        from ..engine.scaling.scale import Scales
        from ..engine.scaling.settings import Pace, Settings

        if (levels or reuse) and not estimate:
            raise BadInput("levels or reuse", True, "turn on estimate too, or turn it off")
        if learned != BY_RULE and not estimate:
            raise BadInput("learned", learned, f"turn on estimate too, or choose '{BY_RULE}'")
        sides = positive, negative
        settings = Settings(levels=levels, pace=Pace() if reuse else None, learned=chosen(learned))
        if scales is None and estimate:
            (pos, neg), ledger = apply_estimated(sides, hints, settings, vae)
            used = Scales(ledger.asked)
        elif scales is None:
            (pos, neg), used = apply_as_asked(sides, hints, vae)
        elif estimate:
            raise BadInput("estimate", True, "turn it off, or disconnect scales")
        else:
            (pos, neg), used = apply_scaled(sides, hints, scales, vae)
        head = "Strengths, until the sampler has measured:" if estimate else ""
        payload = scales_payload(map(Row, used.rows))
        return io.NodeOutput(
            pos, neg, listed(used.rows, head), ui={"tandem_scales": [json_safe(payload)]}
        )
