"""Scales from what was measured, by weights that were fitted to scales found by search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import BadInput
from .cover import cover
from .pushed import Matrix, Pushed

NAMES = (
    "log of its push",
    "log of its push as a share of the strongest",
    "cover by stronger ones",
    "mean cosine with the others",
    "largest cosine",
    "smallest cosine",
    "mean overlap of places",
    "log of the sum's push as a share of the strongest",
    "one of so many",
)
LOWEST = 0.1  # who is left out altogether is for the rule to say


@dataclass(frozen=True, slots=True)
class Learned:
    """A linear map from features, each less its mean and by its spread, to a share of strength."""

    mean: tuple[float, ...]
    spread: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float

    def __post_init__(self) -> None:
        lengths = [len(row) for row in (self.mean, self.spread, self.weights)]
        finite = np.isfinite([*self.mean, *self.spread, *self.weights, self.bias]).all()
        if lengths != [len(NAMES)] * 3 or not finite or min(self.spread) <= 0:
            do = f"give {len(NAMES)} finite numbers each, spreads above 0: calibrate again"
            raise BadInput("learned scales", lengths, do)

    def shares(self, pushed: Pushed, kept: Sequence[int]) -> list[float]:
        """Share of its strength that each of `kept` is to have, LOWEST..1."""
        scaled = (features(pushed, kept) - self.mean) / self.spread
        return np.clip(scaled @ self.weights + self.bias, LOWEST, 1.0).tolist()


def features(pushed: Pushed, kept: Sequence[int]) -> Matrix:
    """[len(kept), len(NAMES)]: what is known of each of those that stay, among them."""
    order = sorted(kept, key=lambda at: -pushed.sizes[at])
    sizes = pushed.sizes.clip(min=1e-6)
    direction, where = pushed.direction, pushed.where
    most = sizes[order[0]]
    total = np.sqrt(max(float(pushed.gram[np.ix_(order, order)].sum()), 1e-12))
    rows: list[list[float]] = []
    for at in kept:
        others = [other for other in kept if other != at]
        cosines = direction[at, others] if others else np.zeros(1)
        rows.append(
            [
                float(np.log(sizes[at])),
                float(np.log(sizes[at] / most)),
                cover(pushed.gram, at, order[: order.index(at)]),
                float(cosines.mean()),
                float(cosines.max()),
                float(cosines.min()),
                float(where[at, others].mean()) if others else 0.0,
                float(np.log(total / most)),
                1 / len(kept),
            ]
        )
    return np.array(rows)
