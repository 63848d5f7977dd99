"""Part of `scaling`: are the first steps a good place to measure, and what does measuring cost?"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any
from unittest import mock

import numpy as np

from .scaling_draw import Studio  # isort: skip

from ..engine.scaling import estimator
from ..engine.scaling.estimator import Estimator, Probe
from ..engine.scaling.pushes import joined
from .scaling_sets import ARMS, Set

FEW, MANY = 4, 8  # steps of runs whose difference is the time of a step


def pushes_of_steps(studio: Studio, one: Set, steps: int) -> list[list[float]]:
    """[steps][K]: size of every condition's push on every step, all of them at strength 1."""
    seen: list[list[float]] = []

    class Recorder(Estimator):
        """Measures on every step, and decides nothing."""

        def settle(self, probe: Probe) -> None:
            gram = joined(probe.steps).gram
            probe.steps, probe.chunks = [], 0
            seen.append(np.sqrt(gram.diagonal().clip(min=0)).tolist())

    with mock.patch.object(estimator, "Estimator", Recorder):
        studio.draw(one, None, steps, one.number)
    return seen


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Spearman's, of numbers that are all different."""
    ranks = [np.argsort(np.argsort(values)) for values in (first, second)]
    one, other = ((each - each.mean()) / each.std() for each in ranks)
    return float((one * other).mean())


def cost(studio: Studio, one: Set, rounds: int) -> dict[str, float]:
    """Median seconds of what the estimator does in a run, and of a step without it."""
    spent: list[float] = []
    steps: list[float] = []
    for _ in range(rounds):
        spent.append(_estimating(studio, one))
        ones = ARMS["ones"](len(one.asked))
        few, many = (studio.draw(one, ones, n, one.number).seconds for n in (FEW, MANY))
        steps.append((many - few) / (MANY - FEW))
    return {"estimator_s": statistics.median(spent), "step_s": statistics.median(steps)}


def times(studio: Studio, one: Set, steps: int) -> dict[str, Any]:
    """Share of the sampler's time that estimated scales take: each way twice, by turns."""
    ones = ARMS["ones"](len(one.asked))
    spent = {"plain": 0.0, "estimated": 0.0}
    for way in ("plain", "estimated", "estimated", "plain"):  # a drift weighs on both alike
        strengths = ones if way == "plain" else None
        spent[way] += studio.draw(one, strengths, steps, one.number).seconds
    return {"family": one.family, "share": spent["estimated"] / spent["plain"]}


def _estimating(studio: Studio, one: Set) -> float:
    total = 0.0

    def timed(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            nonlocal total
            began = time.perf_counter()
            try:
                return method(*args)
            finally:
                total += time.perf_counter() - began

        return call

    with (
        mock.patch.object(Estimator, "watch", timed(Estimator.watch)),
        mock.patch.object(Estimator, "__call__", timed(Estimator.__call__)),
        mock.patch.object(Estimator, "finish", timed(Estimator.finish)),
        mock.patch.object(estimator, "rows_of_others", timed(estimator.rows_of_others)),
        mock.patch.object(estimator, "write_all", timed(estimator.write_all)),
    ):
        studio.draw(one, None, MANY, one.number)
    return total
