"""Part of `scaling`: one number for a picture of a set, whatever conditions the set has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..training.hints import KINDS
from .parts import Result
from .scaling_sets import PROMPT


def renders_of(results: Mapping[str, Result]) -> dict[str, float]:
    """What true renders score, by kind."""
    names = (name for name in results if name.startswith("truth_"))
    scores = [row for name in names for row in results[name]["scores"]]
    return {kind: float(np.nanmean([row[kind] for row in scores])) for kind in (*KINDS, PROMPT)}


def total(
    judged: Sequence[str], scores: Mapping[str, float], renders: Mapping[str, float]
) -> float:
    """Mean of the scores that apply, each as a share of what true renders score."""
    return float(np.nanmean([scores[kind] / renders[kind] for kind in (*judged, PROMPT)]))
