"""What tasks took on this machine: the median of the latest, and before those a first run's."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

REMEMBERED = 9


@dataclass(slots=True)
class Price:
    """Measured seconds of one detector."""

    totals: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    totals_per_mpixel: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    computes: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    per_mpixel: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))


class Prices:
    """Prices of all detectors."""

    def __init__(self) -> None:
        self._prices: dict[str, Price] = {}

    def add(self, detector: str, seconds: Mapping[str, float], pixels: int) -> None:
        price = self._prices.setdefault(detector, Price())
        price.totals.append(sum(seconds.values()))
        price.totals_per_mpixel.append(sum(seconds.values()) * 1e6 / pixels)
        price.computes.append(seconds["compute"])
        price.per_mpixel.append(seconds["compute"] * 1e6 / pixels)

    def seconds(self, detector: str) -> float | None:
        """Computing seconds of a call; None before the first."""
        price = self._prices.get(detector)
        return median(price.computes) if price else None

    def seconds_per_mpixel(self, detector: str, announced: Mapping[str, Any]) -> float | None:
        price = self._prices.get(detector)
        return median(price.per_mpixel) if price else announced.get("s_per_mpixel")

    def expected(self, detector: str, announced: Mapping[str, Any], resolution: int) -> float:
        """Seconds that a task will keep a child busy, at the least, as far as this machine knows.

        The lower of two guesses, a call like the latest ones or pixels like theirs: a deadline is
        refused by it, and nothing that may be in time should be.
        """
        price = self._prices.get(detector)
        if price:
            by_pixels = median(price.totals_per_mpixel) * resolution**2 / 1e6
            return min(median(price.totals), by_pixels)
        rate = announced.get("s_per_mpixel", announced["prior_s_per_mpixel"])
        return float(rate) * resolution**2 / 1e6
