"""Part of `scaling`: what scales would be best, found by trying them on each set by itself."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..engine.scaling.calibration import best_in_turns
from ..training.hints import KINDS
from ..training.judge import Judge
from .scaling_draw import Studio, judged
from .scaling_figures import total
from .scaling_sets import ARMS, Block

TRIED = (0.0, 0.5, 1.0)
Scales = tuple[float, ...]


class Search:
    """Scores of one set at scales that were tried."""

    def __init__(
        self, studio: Studio, judge: Judge, block: Block, renders: Mapping[str, float], steps: int
    ) -> None:
        self.studio, self.judge, self.block = studio, judge, block
        self.renders, self.steps = renders, steps
        self.known: dict[Scales, float] = {}

    def score(self, scales: Sequence[float] | None) -> float:
        """None: estimated."""
        if scales is not None and tuple(scales) in self.known:
            return self.known[tuple(scales)]
        [one] = self.block.sets
        drawn = self.studio.draw(one, scales, self.steps, one.number)
        [scores] = judged(self.judge, self.block, drawn.picture)
        found = total(one.judged, scores, self.renders)
        if scales is not None:
            self.known[tuple(scales)] = found
        return found

    def of_nets(self, scales: Mapping[str, float]) -> Scales:
        """Of the set's conditions by those of their nets."""
        [one] = self.block.sets
        return tuple(scales[asked.net] for asked in one.asked)

    def best(self, most: int) -> Scales:
        """One scale after the other, until none helps or `most` were tried."""
        [one] = self.block.sets
        ones = tuple(ARMS["ones"](len(one.asked)))
        return best_in_turns(ones, TRIED, lambda s: self.score(s) if any(s) else -math.inf, most)


def searched(
    studio: Studio,
    judge: Judge,
    block: Block,
    renders: Mapping[str, float],
    steps: int,
    most: int,
) -> list[dict[str, Any]]:
    """Of each set: scores at 1.0, at the best scales, at estimated ones, and without the conditions
    that are not of its scene; and what each condition of the best costs when it is dropped, as a
    share.
    """
    found: list[dict[str, Any]] = []
    for row in range(len(block.sets)):
        search = Search(studio, judge, block.only(row), renders, steps)
        best = search.best(most)
        knowing = [float(asked.good) for asked in block.sets[row].asked]
        score = search.score(best)
        costs = [
            float(1 - search.score((*best[:at], 0.0, *best[at + 1 :])) / score)
            if scale and sum(map(bool, best)) > 1
            else 0.0
            for at, scale in enumerate(best)
        ]
        found.append(
            {
                "ones": search.score(ARMS["ones"](len(best))),
                "best": score,
                "knowing": search.score(knowing),
                "estimated": search.score(None),
                "scales": list(best),
                "costs": costs,
            }
        )
    return found


def best_fixed(
    studio: Studio,
    judge: Judge,
    block: Block,
    renders: Mapping[str, float],
    steps: int,
    scales: Sequence[float],
    most: int,
) -> dict[str, float]:
    """A scale for each net that scores best over all sets of a block, in at most so many tries.

    First the best one for all nets, then one net after the other.
    """
    searches = [
        Search(studio, judge, block.only(row), renders, steps) for row in range(len(block.sets))
    ]

    def score(tried: Scales) -> float:
        by_net: dict[str, float] = dict(zip(KINDS, tried, strict=True))
        return float(np.mean([search.score(search.of_nets(by_net)) for search in searches]))

    start = max(((scale,) * len(KINDS) for scale in scales), key=score)
    best = best_in_turns(start, scales, score, most)
    return dict(zip(KINDS, best, strict=True))
