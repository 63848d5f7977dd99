"""Means and their intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

RESAMPLES = 2000


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def interval(values: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """Bootstrap 95 % interval of the mean."""
    chance = np.random.default_rng(seed)
    rows = np.asarray(values)
    means = rows[chance.integers(len(rows), size=(RESAMPLES, len(rows)))].mean(1)
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))
