"""Scales that are learned: the best ones of many cases by search, and a linear map to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..errors import BadInput
from .learned import Learned, features
from .pushed import Matrix, Pushed
from .ridge import fitted
from .rule import Lower, Rule, decide
from .scale import Scale

TRIED = (0.25, 0.5, 1.0)  # shares of the strength
HELD_OUT = 5  # one photo of so many is not fitted to: by it the map and the rule are compared
Shares = tuple[float, ...]


class Case(Protocol):
    """Conditions of one picture."""

    @property
    def photo(self) -> int:
        """What its hints and its noise are of: cases of one tell nearly the same."""
        ...

    def pushed(self) -> Pushed | None:
        """What the first steps show of them, strengths at their bounds; None: of none."""
        ...

    def score(self, scales: Mapping[str, float]) -> float:
        """How good the picture with these scales is; conditions that are not named have 0."""
        ...


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What was learned, of how much, and what it is worth.

    rule_score, learned_score: mean over the photos that it was not fitted to.
    gain: 95 % interval of the mean difference between the two; None: one photo alone.
    """

    learned: Learned
    sets: int
    conditions: int
    held_out_sets: int
    held_out_photos: int
    rule_score: float
    learned_score: float
    gain: tuple[float, float] | None

    @property
    def is_better(self) -> bool:
        """Whether chance hardly explains it."""
        return self.gain is not None and self.gain[0] > 0


def calibrated(
    cases: Iterable[Case], rule: Rule, most: int, tell: Callable[[str], None]
) -> Calibrated:
    """
    Args:
        most: scores that are tried for a case, at most.
        tell: is given a line for a case.
    Raises:
        BadInput: too few photos in whose cases anything was measured.
    """
    rows: list[np.ndarray] = []
    wanted: list[float] = []
    photos: list[int] = []  # of each row
    away: list[tuple[Case, Pushed]] = []
    seen: dict[int, int] = {}  # photos in their order
    for number, case in enumerate(cases):
        pushed = case.pushed()
        if pushed is None:
            tell(f"case {number}: nothing to measure")
            continue
        if seen.setdefault(case.photo, len(seen)) % HELD_OUT == HELD_OUT - 1:
            away.append((case, pushed))
            continue
        kept = _kept(pushed, rule)
        shares = best_in_turns(
            (1.0,) * len(kept), TRIED, lambda s, c=case, p=pushed: _score(c, p, rule, s), most
        )
        rows.append(features(pushed, kept))
        wanted += shares
        photos += [case.photo] * len(kept)
        tell(f"case {number}: " + ", ".join(f"{share:.2f}" for share in shares))
    if len(seen) <= HELD_OUT or not away:
        raise BadInput("photos", len(seen), f"give {2 * HELD_OUT} or more")
    learned = fitted(np.vstack(rows), np.array(wanted), photos)
    scores: dict[int, list[tuple[float, float]]] = {}
    for case, pushed in away:
        pair = [case.score(_named(decide(pushed, rule, lower))) for lower in (None, learned.shares)]
        scores.setdefault(case.photo, []).append((pair[0], pair[1]))
    means = np.array([np.mean(pairs, 0) for pairs in scores.values()])  # [photos, 2]
    by_rule, by_map = means.mean(0).tolist()
    return Calibrated(
        learned, len(rows), len(wanted), len(away), len(means), by_rule, by_map,
        interval(means[:, 1] - means[:, 0]),
    )  # fmt: skip


def interval(differences: Matrix) -> tuple[float, float] | None:
    """Student's 95 % interval of the mean of differences that come in pairs; None: of one alone."""
    from scipy import stats  # every ComfyUI has it

    count = len(differences)
    if count < 2:
        return None
    mean, error = float(differences.mean()), float(differences.std(ddof=1)) / count**0.5
    half = float(stats.t.ppf(0.975, count - 1)) * error
    return mean - half, mean + half


def best_in_turns(
    start: Shares, tried: Sequence[float], score: Callable[[Shares], float], most: int
) -> Shares:
    """One number after the other, until none helps or `most` scores were asked for."""
    known: dict[Shares, float] = {start: score(start)}
    now = start
    while True:
        before = now
        for at in range(len(now)):
            for share in tried:
                other = (*now[:at], share, *now[at + 1 :])
                if other not in known:
                    if len(known) >= most:
                        return now
                    known[other] = score(other)
                if known[other] > known[now]:
                    now = other
        if now == before:
            return now


def _kept(pushed: Pushed, rule: Rule) -> list[int]:
    scales = decide(pushed, rule, lambda _, kept: [1.0] * len(kept))
    return [at for at, scale in enumerate(scales) if not scale.pruned]


def _score(case: Case, pushed: Pushed, rule: Rule, shares: Shares) -> float:
    by_place = dict(zip(_kept(pushed, rule), shares, strict=True))
    lower: Lower = lambda _, kept: [by_place[at] for at in kept]  # noqa: E731
    return case.score(_named(decide(pushed, rule, lower)))


def _named(scales: Iterable[Scale]) -> dict[str, float]:
    return {scale.cond: scale.scale for scale in scales}
