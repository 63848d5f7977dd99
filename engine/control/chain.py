"""Hints on a conditioning: one ControlNet copy a condition, chained, shared by both sides."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
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


def as_asked(_: str, hint: Hint) -> tuple[float, str | None]:
    """The strength that the user set."""
    return hint.condition.request.strength, None


def apply_hints(
    sides: Sequence[Conditioning],
    hints: Iterable[Hint],
    vae: Any = None,
    strength_of: Callable[[str, Hint], tuple[float, str | None]] = as_asked,
    mark: Callable[[str, Any], None] = lambda *_: None,
) -> tuple[list[Conditioning], list[Applied]]:
    """The conditionings (positive, negative) with every hint's ControlNet behind them.

    Nothing that was given is changed: entries, their options and the nets are copied. The copies
    are shared between the sides, so that ComfyUI still evaluates both in one batch.
    A condition without a ControlNet or with strength 0 is left out and never called. The chain is
    unrolled in every run that the conditioning is in, whatever the model.

    Args:
        vae: only for ControlNets that ask for one.
        strength_of: by a condition's name and hint, its strength, and why it is 0 if it is.
        mark: is given the name and the copy of each net that is applied.
    """
    out = [[[entry[0], entry[1].copy()] for entry in side] for side in sides]
    told: list[Applied] = []
    for index, hint in enumerate(hints):
        net = hint.condition.control_net
        name = name_of(index, hint)
        strength, reason = strength_of(name, hint)
        if net is None:
            reason = "no ControlNet is connected"
        elif strength == 0:
            reason = reason or "strength 0"
        else:
            reason = None
            _append(out, net, hint, strength, vae, partial(mark, name))
        told.append(Applied(name, strength, reason is None, reason))
    return out, told


def name_of(place: int, hint: Hint) -> str:
    """Of a condition, by its place in the chain: what nodes and scales call it."""
    return f"{place}:{hint.condition.request.detector}"


def _append(
    sides: list[Conditioning],
    net: Any,
    hint: Hint,
    strength: float,
    vae: Any,
    mark: Callable[[Any], None],
) -> None:
    request = hint.condition.request
    image = hint_image(hint.pictures, hint.condition.masks).movedim(-1, 1)
    copies: dict[int | None, Any] = {}
    for options in (entry[1] for side in sides for entry in side):
        before = options.get("control")
        key = None if before is None else id(before)
        if key not in copies:
            copy = net.copy().set_cond_hint(image, strength, (request.start, request.end), vae=vae)
            copy.extra_hooks = unrolling(copy.extra_hooks)
            mark(copy)
            copies[key] = copy.set_previous_controlnet(before)
        options["control"] = copies[key]
        options["control_apply_to_uncond"] = False  # both sides carry it themselves
