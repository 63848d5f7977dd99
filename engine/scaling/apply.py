"""Hints on the prompts with scales: given ones, or such as each run measures for itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import compress
from typing import Any

from torch import Tensor

from ..conditions import Hint
from ..control import Applied, apply_hints, name_of
from ..control.chain import Conditioning
from ..control.link import TAG
from ..errors import BadInput
from .asked import Asked
from .estimator import estimating
from .ledger import Ledger, Row, UnknownRun
from .scale import Scale, Scales
from .settings import Settings

EMPTY = "its hint is one flat colour"
Sides = list[Conditioning]


def apply_as_asked(
    sides: Sequence[Conditioning], hints: Sequence[Hint], vae: Any = None
) -> tuple[Sides, Scales]:
    """As `apply_hints`, each condition with its strength."""
    applied, told = apply_hints(sides, hints, vae)
    return applied, Scales(tuple(map(_scale, told, hints)))


def apply_estimated(
    sides: Sequence[Conditioning], hints: Sequence[Hint], settings: Settings, vae: Any = None
) -> tuple[Sides, Ledger]:
    """As `apply_hints`; every run that the prompts are in measures the scales, and uses them.

    Empty hints are left out at once: a net has something to say to them too, so no strength of a
    residual tells. The ledger has the strengths, and the scales of each run after it.
    """
    ledger = Ledger(settings)
    applied, told = apply_hints(
        sides,
        hints,
        vae,
        strength_of=lambda _, hint: (0.0, EMPTY) if is_empty(hint) else _asked_for(hint),
        mark=lambda cond, net: setattr(net, TAG, Asked(cond, ledger, estimating)),
    )
    ledger.asked = tuple(map(_scale, told, hints))
    return applied, ledger


def apply_scaled(
    sides: Sequence[Conditioning], hints: Sequence[Hint], scales: Scales, vae: Any = None
) -> tuple[Sides, Scales]:
    """As `apply_hints`, with these scales in place of strengths.

    No scale is above its strength but by what it carries for conditions that were left out, and
    that is bound by their strengths.
    Raises:
        BadInput: scales of other conditions than these.
    """
    by_cond = {row.cond: row for row in scales.rows}
    names = [name_of(at, hint) for at, hint in enumerate(hints)]
    if list(by_cond) != names:
        do = f"estimate again, these are {', '.join(names)}"
        raise BadInput("scales", ", ".join(by_cond), do)
    strengths = [hint.condition.request.strength for hint in hints]
    spare = sum(compress(strengths, (row.pruned for row in scales.rows)))
    share = min(1.0, spare / max(sum(row.carried for row in scales.rows), 1e-12))

    def strength_of(cond: str, hint: Hint) -> tuple[float, str | None]:
        row, most = by_cond[cond], hint.condition.request.strength
        return min(row.scale - row.carried, most) + share * row.carried, row.reason

    applied, told = apply_hints(sides, hints, vae, strength_of)
    rows = (
        replace(row, strength=most, scale=one.scale, carried=share * row.carried)
        if one.applied
        else replace(row, strength=most, scale=0.0, carried=0.0, reason=one.reason)
        for row, one, most in zip(scales.rows, told, strengths, strict=True)
    )
    return applied, Scales(tuple(rows))


def rows_of_run(side: Conditioning, latent: Tensor) -> tuple[Row, ...]:
    """What the run that made `latent` of these prompts found, in the order of the chain.

    Raises:
        UnknownRun: nothing was to be measured, or no run that is remembered made it.
    """
    ledgers = ledgers_of(side)
    if not ledgers:
        seen = f"{len(side)} {'prompt' if len(side) == 1 else 'prompts'} with nothing to measure"
        do = "connect that of Apply Conditions, with estimate on and a ControlNet"
        raise UnknownRun("positive", seen, do)
    return tuple(row for ledger in ledgers for row in ledger.read(latent))


def ledgers_of(side: Conditioning) -> list[Ledger]:
    """Of the prompts' nets that are measured, each once, in the order of the chain."""
    found: dict[Ledger, None] = {}
    for _, options in side:
        net, own = options.get("control"), dict[Ledger, None]()
        while net is not None:
            tag = getattr(net, TAG, None)
            if isinstance(tag, Asked):
                own = {tag.ledger: None, **own}
            net = net.previous_controlnet
        found |= own
    return list(found)


def is_empty(hint: Hint) -> bool:
    """Whether it says nothing: every picture one flat colour, and no mask to fill in."""
    flat = all(bool((picture == picture[0, 0]).all()) for picture in hint.pictures)
    return flat and not hint.condition.masks


def _asked_for(hint: Hint) -> tuple[float, str | None]:
    return hint.condition.request.strength, None


def _scale(one: Applied, hint: Hint) -> Scale:
    strength = hint.condition.request.strength
    return Scale(one.cond, strength, one.scale if one.applied else 0.0, reason=one.reason)
