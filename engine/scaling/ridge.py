"""A linear map fitted to few examples: ridge regression, its penalty by leaving photos out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import BadInput
from .learned import NAMES, Learned
from .pushed import Matrix

PENALTIES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
FOLDS = 5


def fitted(rows: Matrix, wanted: Matrix, photos: Sequence[int]) -> Learned:
    """The map from features to shares of strength with the smallest squared error.

    Args:
        rows: [N, F] features of N conditions.
        wanted: [N] shares of strength that were best, 0..1.
        photos: the photo that each is of: conditions of one are left out together.
    Raises:
        BadInput: conditions of fewer than five photos, or numbers that do not belong together.
    Source: Hoerl and Kennard 1970; features are scaled to spread 1, the bias is not penalised.
    """
    groups = np.asarray(photos)
    if rows.shape != (len(wanted), len(NAMES)) or len(groups) != len(wanted):
        raise BadInput("examples", (rows.shape, wanted.shape), "give as many rows as shares")
    if len(set(photos)) < FOLDS:
        raise BadInput("photos", len(set(photos)), f"give {FOLDS} or more to learn from")
    mean, spread = rows.mean(0), rows.std(0)
    spread[spread < 1e-9] = 1.0
    scaled, bias = (rows - mean) / spread, float(wanted.mean())
    penalty = min(PENALTIES, key=lambda penalty: _left_out(scaled, wanted, groups, penalty))
    weights = _weights(scaled, wanted - bias, penalty)
    return Learned(tuple(mean.tolist()), tuple(spread.tolist()), tuple(weights.tolist()), bias)


def _left_out(rows: Matrix, wanted: Matrix, groups: Matrix, penalty: float) -> float:
    """Mean squared error on photos that were left out, a fifth at a time."""
    error = 0.0
    fold = np.unique(groups, return_inverse=True)[1] % FOLDS
    for number in range(FOLDS):
        away = fold == number
        bias = wanted[~away].mean()
        weights = _weights(rows[~away], wanted[~away] - bias, penalty)
        error += float(((rows[away] @ weights + bias - wanted[away]) ** 2).sum())
    return error / len(wanted)


def _weights(rows: Matrix, wanted: Matrix, penalty: float) -> Matrix:
    square = rows.T @ rows + penalty * np.eye(rows.shape[1])
    return np.asarray(np.linalg.solve(square, rows.T @ wanted), np.float64)
