"""Means and their intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
Floats = NDArray[np.float64]


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def interval(values: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """Bootstrap 95 % interval of the mean."""
    chance = np.random.default_rng(seed)
    rows = np.asarray(values)
    means = rows[chance.integers(len(rows), size=(RESAMPLES, len(rows)))].mean(1)
    return ends(means)


def resamples(count: int, seed: int = 0) -> Floats:
    """[RESAMPLES + 1, count]: how often each of so many stands in a sample; first: once each.

    For figures that are no plain mean: computed with every row of weights, the first is the
    figure, the others' `ends` are its interval. The same weights for two sides pair them.
    """
    chance = np.random.default_rng(seed)
    drawn = chance.multinomial(count, np.full(count, 1 / count), RESAMPLES).astype(float)
    return np.concatenate([np.ones((1, count)), drawn])


def ends(values: Floats) -> tuple[float, float]:
    """Of the 95 % in the middle; samples that have no value, as 0 of 0, are left out."""
    return float(np.nanquantile(values, 0.025)), float(np.nanquantile(values, 0.975))
