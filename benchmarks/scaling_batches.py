"""Part of `scaling`: sets that ask the same nets at the same strengths are drawn as one batch.

Only where strengths are given: residuals are summed, so neither the order of conditions nor what
else is in the batch matters. Estimated scales are decided by picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from .scaling_sets import Set

if TYPE_CHECKING:
    from ..engine.scaling.ledger import Row
    from .scaling_draw import Drawn, Studio

MOST = 16  # pictures a batch
Strengths = Sequence[float]


def draw_given(
    studio: Studio, sets: Sequence[Set], strengths: Sequence[Strengths], steps: int
) -> list[Drawn]:
    """Of each set, at its strengths and with its number's noise, what `Studio.draw` gives."""
    drawn: dict[int, Drawn] = {}
    for rows in batches(sets, strengths):
        orders = [_order(sets[row], strengths[row]) for row in rows]
        turned = [_turned(sets[row], order) for row, order in zip(rows, orders, strict=True)]
        shared = [strengths[rows[0]][place] for place in orders[0]]
        made = studio.draw_alike(turned, shared, steps, [one.number for one in turned])
        for row, order, one in zip(rows, orders, made, strict=True):
            drawn[row] = replace(one, rows=_turned_back(one.rows, order))
    return [drawn[row] for row in range(len(sets))]


def batches(sets: Sequence[Set], strengths: Sequence[Strengths]) -> list[list[int]]:
    """Rows of sets that one call of the sampler can draw."""
    alike: dict[tuple[tuple[str, float], ...], list[int]] = {}
    for row, (one, own) in enumerate(zip(sets, strengths, strict=True)):
        key = tuple(_asked(one, own, place) for place in _order(one, own))
        alike.setdefault(key, []).append(row)
    return [
        part.tolist()
        for rows in alike.values()
        for part in np.array_split(rows, math.ceil(len(rows) / MOST))
    ]


def _order(one: Set, strengths: Strengths) -> list[int]:
    """Places of its conditions by net and strength: the same for all sets of a batch."""
    return sorted(range(len(one.asked)), key=lambda place: _asked(one, strengths, place))


def _asked(one: Set, strengths: Strengths, place: int) -> tuple[str, float]:
    return one.asked[place].net, strengths[place]


def _turned(one: Set, order: Sequence[int]) -> Set:
    return replace(one, asked=tuple(one.asked[place] for place in order))


def _turned_back(rows: Sequence[Row], order: Sequence[int]) -> tuple[Row, ...]:
    """In the set's own order, and named by it."""
    own = [rows[order.index(place)] for place in range(len(rows))]
    return tuple(
        replace(row, scale=replace(row.scale, cond=named.scale.cond))
        for row, named in zip(own, rows, strict=True)
    )
