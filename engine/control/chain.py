"""Hints on a conditioning: one ControlNet copy a condition, chained, shared by both sides."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..conditions import Hint
from .pictures import hint_image
from .unroll import unrolling

Conditioning = list[list[Any]]  # ComfyUI's CONDITIONING: [[tensor, options], ...]


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of one condition."""

    cond: str
    scale: float
    applied: bool
    reason: str | None = None  # why it was left out


def apply_hints(
    sides: Sequence[Conditioning], hints: Iterable[Hint], vae: Any = None
) -> tuple[list[Conditioning], list[Applied]]:
    """The conditionings (positive, negative) with every hint's ControlNet behind them.

    Nothing that was given is changed: entries, their options and the nets are copied. The copies
    are shared between the sides, so that ComfyUI still evaluates both in one batch.
    A condition without a ControlNet or with strength 0 is left out and never called. The chain is
    unrolled in every run that the conditioning is in, whatever the model.
    """
    out = [[[entry[0], entry[1].copy()] for entry in side] for side in sides]
    told: list[Applied] = []
    for index, hint in enumerate(hints):
        request, net = hint.condition.request, hint.condition.control_net
        name = f"{index}:{request.detector}"
        reason = _left_out(request.strength, net)
        if reason is None:
            _append(out, net, hint, vae)
        told.append(Applied(name, request.strength, reason is None, reason))
    return out, told


def _left_out(strength: float, net: Any) -> str | None:
    if net is None:
        return "no ControlNet is connected"
    return "strength 0" if strength == 0 else None


def _append(sides: list[Conditioning], net: Any, hint: Hint, vae: Any) -> None:
    request = hint.condition.request
    image = hint_image(hint.pictures, hint.condition.masks).movedim(-1, 1)
    copies: dict[int | None, Any] = {}
    for options in (entry[1] for side in sides for entry in side):
        before = options.get("control")
        key = None if before is None else id(before)
        if key not in copies:
            copy = net.copy().set_cond_hint(
                image, request.strength, (request.start, request.end), vae=vae
            )
            copy.extra_hooks = unrolling(copy.extra_hooks)
            copies[key] = copy.set_previous_controlnet(before)
        options["control"] = copies[key]
        options["control_apply_to_uncond"] = False  # both sides carry it themselves
