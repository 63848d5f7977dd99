"""What the pushes of a step's conditions are like: numbers for the rule, no tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput

Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Pushed:
    """K conditions that act together, in any order.

    conds, strengths: their names, and what the user asked for.
    spans: (start, end) of each, shares of the steps.
    gram: [K, K], inner products of their pushes at these strengths; pushes are residuals as a
        share of the UNet's features, so that a diagonal of 1 is as strong as the features.
    where: [K, K], 0..1, how much the places at which two push are the same.
    coarse: [K, K], as gram, at the UNet's resolutions that gram leaves out; None: it has none.
    Raises:
        BadInput: shapes that do not belong together, or numbers that are not finite.
    """

    conds: tuple[str, ...]
    strengths: tuple[float, ...]
    spans: tuple[tuple[float, float], ...]
    gram: Matrix
    where: Matrix
    coarse: Matrix | None = None

    def __post_init__(self) -> None:
        count = len(self.conds)
        shapes = (len(self.strengths), len(self.spans), self.gram.shape, self.where.shape)
        if shapes != (count, count, (count, count), (count, count)):
            raise BadInput("pushes", shapes, f"give all of {count} conditions")
        if self.coarse is not None and self.coarse.shape != (count, count):
            raise BadInput("coarse pushes", self.coarse.shape, f"give all of {count} conditions")
        if len(set(self.conds)) != count:
            raise BadInput("conditions", self.conds, "name each once")
        numbers = (self.gram, self.where, *(() if self.coarse is None else (self.coarse,)))
        if not all(np.isfinite(matrix).all() for matrix in numbers):
            raise BadInput("pushes", "not finite", "leave the strengths as they are")

    @property
    def sizes(self) -> Matrix:
        """[K]: length of each push."""
        return sizes_of(self.gram)

    @property
    def direction(self) -> Matrix:
        """[K, K], -1..1: cosine between pushes; 0 where one is nothing."""
        lengths = np.outer(self.sizes, self.sizes)
        cosine = np.divide(self.gram, lengths, out=np.zeros_like(lengths), where=lengths > 0)
        return cosine.clip(-1, 1)

    def at(self, bounds: Sequence[float]) -> Pushed:
        """The same conditions at other strengths: their pushes change in proportion."""
        times = np.array(bounds) / np.array(self.strengths)
        both = np.outer(times, times)
        coarse = None if self.coarse is None else self.coarse * both
        return replace(self, strengths=tuple(bounds), gram=self.gram * both, coarse=coarse)

    def only(self, rows: Sequence[int]) -> Pushed:
        """These of the conditions, in this order."""
        square = np.ix_(rows, rows)
        return Pushed(
            tuple(self.conds[at] for at in rows),
            tuple(self.strengths[at] for at in rows),
            tuple(self.spans[at] for at in rows),
            self.gram[square],
            self.where[square],
            None if self.coarse is None else self.coarse[square],
        )


def sizes_of(gram: Matrix) -> Matrix:
    """[K]: lengths of pushes by their inner products [K, K]."""
    return np.sqrt(gram.diagonal().clip(min=0))
