"""Prompts with hints whose scales a run measures, and what it reports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .chains import Sides, both, net
from .narrow_nets import asked


def flat(one: Any, **request: Any) -> Any:
    """An empty hint."""
    import numpy as np
    from comfyui_tandem.engine.conditions import Hint

    made = asked(one, 0, **request)
    return Hint(made.condition, (np.zeros((64, 64, 3), np.uint8),), "local", 0.0)


def applied(hints: Sequence[Any], sides: Sides | None = None, **more: Any) -> Sides:
    from comfyui_tandem.nodes.apply import ApplyConditions

    options: dict[str, Any] = {"estimate": True, **more}
    positive, negative, _ = ApplyConditions.execute(
        *(sides or both()), tuple(hints), **options
    ).result
    return positive, negative


def applied_by(settings: Any, hints: Sequence[Any], sides: Sides | None = None) -> Sides:
    """With settings that no node offers."""
    from comfyui_tandem.engine.scaling.apply import apply_estimated

    (positive, negative), _ = apply_estimated(sides or both(), hints, settings)
    return positive, negative


def reported(sides: Sides, latent: Any) -> list[dict[str, Any]]:
    """The rows that the node shows after the sampler."""
    from comfyui_tandem.engine.scaling.payload import ScalesForm
    from comfyui_tandem.nodes.scales import Report

    [payload] = Report.execute({"samples": latent}, sides[0]).ui["tandem_scales"]
    return ScalesForm.model_validate(payload).model_dump()["rows"]


def redundant() -> list[Any]:
    """A net, another, the first once more, an empty hint, a strength of 0, and no net."""
    return [
        asked(net(0), 0, strength=0.9),
        asked(net(1), 1, strength=0.8),
        asked(net(0), 0, strength=0.7),
        flat(net(2)),
        asked(net(3), 3, strength=0.0),
        asked(None, 4),
    ]
