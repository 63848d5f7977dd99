"""Part of `scaling`: what scales would be best, found by trying them on each set by itself."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from ..engine.scaling.calibration import best_in_turns
from ..training.hints import KINDS
from ..training.judge import Judge
from .scaling_batches import draw_given
from .scaling_draw import Drawn, Studio, judged
from .scaling_score import total
from .scaling_sets import ARMS, Block

TRIED = (0.0, 0.5, 1.0)
Scales = tuple[float, ...]


class Search:
    """Scores of a block's sets at scales that were tried; each is drawn once."""

    def __init__(
        self, studio: Studio, judge: Judge, block: Block, renders: Mapping[str, float], steps: int
    ) -> None:
        self.studio, self.judge, self.block = studio, judge, block
        self.renders, self.steps = renders, steps
        self.known: dict[tuple[int, Scales], float] = {}

    def scores(self, tried: Sequence[Scales]) -> list[float]:
        """Of each set at its scales."""
        rows = [row for row, scales in enumerate(tried) if (row, scales) not in self.known]
        if rows:
            block = self.block.only(*rows)
            given = [tried[row] for row in rows]
            drawn = draw_given(self.studio, block.sets, given, self.steps)
            for row, found in zip(rows, self._totals(block, drawn), strict=True):
                self.known[row, tried[row]] = found
        return [self.known[row, scales] for row, scales in enumerate(tried)]

    def estimated(self) -> list[float]:
        """Of each set with scales of its own run."""
        drawn = [self.studio.draw(one, None, self.steps, one.number) for one in self.block.sets]
        return self._totals(self.block, drawn)

    def of_nets(self, scales: Mapping[str, float]) -> list[Scales]:
        """Of each set's conditions by those of their nets."""
        return [tuple(scales[asked.net] for asked in one.asked) for one in self.block.sets]

    def _totals(self, block: Block, drawn: Sequence[Drawn]) -> list[float]:
        scores = judged(self.judge, block, torch.cat([one.picture for one in drawn]))
        return [
            total(one.judged, each, self.renders)
            for one, each in zip(block.sets, scores, strict=True)
        ]


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
    for row, one in enumerate(block.sets):
        search = Search(studio, judge, block.only(row), renders, steps)
        score = partial(_score_of_one, search)
        ones = tuple(ARMS["ones"](len(one.asked)))
        best = best_in_turns(ones, TRIED, score, most)
        costs = [
            float(1 - score((*best[:at], 0.0, *best[at + 1 :])) / score(best))
            if scale and sum(map(bool, best)) > 1
            else 0.0
            for at, scale in enumerate(best)
        ]
        [estimated] = search.estimated()
        found.append(
            {
                "ones": score(ones),
                "best": score(best),
                "knowing": score(tuple(float(asked.good) for asked in one.asked)),
                "estimated": estimated,
                "scales": list(best),
                "costs": costs,
            }
        )
    return found


def _score_of_one(search: Search, scales: Scales) -> float:
    """Minus infinity without any condition."""
    [found] = search.scores([scales]) if any(scales) else [-math.inf]
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
    search = Search(studio, judge, block, renders, steps)

    def score(tried: Scales) -> float:
        by_net: dict[str, float] = dict(zip(KINDS, tried, strict=True))
        return float(np.mean(search.scores(search.of_nets(by_net))))

    start = max(((scale,) * len(KINDS) for scale in scales), key=score)
    best = best_in_turns(start, scales, score, most)
    return dict(zip(KINDS, best, strict=True))
