"""Scales that are learned: the best ones of many cases by search, and a linear map to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..errors import BadInput
from .learned import Learned, features
from .pushed import Pushed
from .ridge import fitted
from .rule import Lower, Rule, decide
from .scale import Scale

TRIED = (0.25, 0.5, 1.0)  # shares of the strength
HELD_OUT = 5  # one case of so many is not fitted to: by it the map and the rule are compared
Shares = tuple[float, ...]


class Case(Protocol):
    """Conditions of one picture."""

    def pushed(self) -> Pushed | None:
        """What the first steps show of them, strengths at their bounds; None: of none."""
        ...

    def score(self, scales: Mapping[str, float]) -> float:
        """How good the picture with these scales is; conditions that are not named have 0."""
        ...


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What was learned, of how much, and mean scores of the cases that it was not fitted to."""

    learned: Learned
    sets: int
    conditions: int
    held_out_sets: int
    rule_score: float
    learned_score: float

    @property
    def is_better(self) -> bool:
        return self.learned_score > self.rule_score


def calibrated(
    cases: Iterable[Case], rule: Rule, most: int, tell: Callable[[str], None]
) -> Calibrated:
    """
    Args:
        most: scores that are tried for a case, at most.
        tell: is given a line for a case.
    Raises:
        BadInput: too few cases in which anything was measured.
    """
    rows: list[np.ndarray] = []
    wanted: list[float] = []
    sets: list[int] = []
    away: list[tuple[Case, Pushed]] = []
    for number, case in enumerate(cases):
        pushed = case.pushed()
        if pushed is None:
            tell(f"case {number}: nothing to measure")
            continue
        if number % HELD_OUT == HELD_OUT - 1:
            away.append((case, pushed))
            continue
        kept = _kept(pushed, rule)
        shares = best_in_turns(
            (1.0,) * len(kept), TRIED, lambda s, c=case, p=pushed: _score(c, p, rule, s), most
        )
        rows.append(features(pushed, kept))
        wanted += shares
        sets += [number] * len(kept)
        tell(f"case {number}: " + ", ".join(f"{share:.2f}" for share in shares))
    if not rows or not away:
        raise BadInput("cases", len(rows) + len(away), f"give {2 * HELD_OUT} or more")
    learned = fitted(np.vstack(rows), np.array(wanted), sets)
    by_rule = [case.score(_named(decide(pushed, rule))) for case, pushed in away]
    by_map = [case.score(_named(decide(pushed, rule, learned.shares))) for case, pushed in away]
    return Calibrated(
        learned, len(rows), len(wanted), len(away), float(np.mean(by_rule)), float(np.mean(by_map))
    )


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
