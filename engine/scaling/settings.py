"""What a conditioning asks of the runs that it is in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ..errors import BadInput
from .pushed import Pushed
from .rule import Rule


class Lowers(Protocol):
    """Says which share of its strength each condition of `kept` has."""

    def shares(self, pushed: Pushed, kept: Sequence[int]) -> list[float]: ...


@dataclass(frozen=True, slots=True)
class Pace:
    """When a condition is asked less often, and when no more.

    unchanged: change of what it says between two calls, as a share of it, from which up it is
        asked on every step; below, on every second.
    least: size of what it says, as a share of the strongest, below which it ends after
        two steps in a row.
    """

    unchanged: float = 0.1
    least: float = 0.05

    def __post_init__(self) -> None:
        if not (0 <= self.unchanged <= 1 and 0 <= self.least < 1):
            raise BadInput("pace", self, "need unchanged 0..1 and least from 0 to below 1")


@dataclass(frozen=True, slots=True)
class Settings:
    """How scales are found and used.

    levels: whether the UNet's coarse resolutions get scales of their own.
    pace: None: every condition is asked on every step.
    learned: what lowers those that the rule keeps, in place of conflict and doubt.
    """

    rule: Rule = field(default_factory=Rule)
    levels: bool = False
    pace: Pace | None = None
    learned: Lowers | None = None
