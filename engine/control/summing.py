"""Residuals of several nets added up as core's chain adds them, each with a factor of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor

from .positions import Control

PARTS = ("input", "middle", "output")


@dataclass(frozen=True, slots=True)
class Factor:
    """What a net's residuals are multiplied with, beside its strength.

    fine: at the two finest resolutions of the UNet.
    coarse: at the others, and in its middle.
    """

    fine: float = 1.0
    coarse: float = 1.0

    @property
    def is_silent(self) -> bool:
        return self.fine == self.coarse == 0


ALL = Factor()


def fine_height(x: Tensor) -> int:
    """Rows of the second finest resolution of a UNet that is given x; what has fewer is coarse."""
    return (x.shape[-2] + 1) // 2


def summed(parts: Sequence[tuple[Control, Factor]], fine: int) -> Control:
    """Lists as core wants them; the tensors given stay as they are, and may be in it.

    With all factors 1 it has the bits of core's `control_merge`. A factor of 0 leaves a net out.

    Args:
        fine: rows of residuals that are not coarse, at least (`fine_height`).
    """
    total: Control = {}
    for part in PARTS:
        lists = [(control.get(part, []), factor) for control, factor in parts]
        longest = max(len(values) for values, _ in lists)
        total[part] = [
            _sum(((values[at], factor) for values, factor in lists if at < len(values)), fine)
            for at in range(longest)
        ]
    return total


def _sum(values: Iterable[tuple[Tensor | None, Factor]], fine: int) -> Tensor | None:
    total: Tensor | None = None
    for value, both in values:
        if value is None:
            continue
        factor = both.fine if value.shape[-2] >= fine else both.coarse
        if factor == 0:
            continue
        own = value if factor == 1 else value * factor
        total = own if total is None else total + own
    return total
