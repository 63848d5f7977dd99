"""How much of one push others supply: by what mix of them it is met best."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
SWEEPS, SMALL_CHANGE = 200, 1e-9


def cover(gram: Matrix, wanted: int, others: list[int]) -> float:
    """Share of the energy of push `wanted` that the best mix of `others` explains, 0..1.

    The mix has no negative weights: a push that others oppose is not covered by them.

    Args:
        gram: [K, K], inner products of K pushes.
    Source: non-negative least squares on the normal equations, by coordinate descent, which
        converges to the minimum of this convex quadratic.
    """
    energy = float(gram[wanted, wanted])
    if not others or energy <= 0:
        return 0.0
    among, toward = gram[np.ix_(others, others)], gram[others, wanted]
    mix = _mix(among, toward)
    left = energy - 2 * mix @ toward + mix @ among @ mix
    return float(np.clip(1 - left / energy, 0, 1))


def _mix(among: Matrix, toward: Matrix) -> Matrix:
    """[k] weights >= 0 that minimise mix @ among @ mix / 2 - mix @ toward."""
    mix = np.zeros(len(toward))
    for _ in range(SWEEPS):
        change = 0.0
        for k, own in enumerate(among.diagonal()):
            if own <= 0:  # a push of nothing
                continue
            better = max(0.0, float(mix[k] + (toward[k] - among[k] @ mix) / own))
            change, mix[k] = max(change, abs(better - mix[k])), better
        if change < SMALL_CHANGE:
            break
    return mix
