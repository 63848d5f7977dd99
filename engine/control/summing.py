"""Residuals of several nets added up as core's chain adds them, each with a factor of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import Tensor

from .positions import Control

PARTS = ("input", "middle", "output")


def summed(parts: Sequence[tuple[Control, float]]) -> Control:
    """Lists as core wants them; the tensors given stay as they are, and may be in it.

    With all factors 1 it has the bits of core's `control_merge`. A factor of 0 leaves a net out.
    """
    total: Control = {}
    for part in PARTS:
        lists = [(control.get(part, []), factor) for control, factor in parts]
        longest = max(len(values) for values, _ in lists)
        total[part] = [
            _sum((values[at], factor) for values, factor in lists if at < len(values))
            for at in range(longest)
        ]
    return total


def _sum(values: Iterable[tuple[Tensor | None, float]]) -> Tensor | None:
    total: Tensor | None = None
    for value, factor in values:
        if value is None or factor == 0:
            continue
        own = value if factor == 1 else value * factor
        total = own if total is None else total + own
    return total
