"""The scales of a run by what a step showed, as its settings want them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .pushed import Pushed
from .rule import Rule, decide
from .scale import Scale
from .settings import Settings


def decided(pushed: Pushed, settings: Settings, bounds: Sequence[float] = ()) -> tuple[Scale, ...]:
    """By the rule, or by what was learned; with levels, coarse resolutions by themselves.

    Args:
        bounds: strengths, and what was carried already for others that were left out on an
            earlier step: whoever stays goes on carrying it.
    """
    lower = settings.learned.shares if settings.learned else None
    scales = decide(pushed.at(bounds or pushed.strengths), settings.rule, lower)
    scales = tuple(map(Scale.told_of, scales, pushed.strengths))
    return _by_level(scales, pushed, settings.rule) if settings.levels else scales


def _by_level(scales: Sequence[Scale], pushed: Pushed, rule: Rule) -> tuple[Scale, ...]:
    """Who stays is judged once more by the coarse resolutions: its scale there is another.

    What it carries for those that are not called at all it may carry there too.
    """
    if pushed.coarse is None:
        return tuple(scales)
    kept = [at for at, scale in enumerate(scales) if not scale.pruned]
    there = replace(pushed, gram=pushed.coarse, coarse=None).only(kept)
    rows = decide(there.at([scales[at].bound for at in kept]), rule)
    found = dict(zip(kept, rows, strict=True))
    return tuple(
        replace(scale, coarse=found[at].scale) if at in found else scale
        for at, scale in enumerate(scales)
    )
