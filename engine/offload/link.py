"""Latency and rate of a link, from the transfers that went over it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

FEWEST, MOST = 4, 10  # transfers that are looked at
APART = 1.2  # sizes closer than this tell nothing about the rate
PROBED = 4.0  # sizes so far apart tell it from two transfers
LEAST_SPREAD, FEW_SPREAD, NO_SPREAD = 0.1, 0.3, 1.0  # measured well, by a few, not at all
STALE_S = 300.0  # after which the spread has doubled


@dataclass(frozen=True, slots=True)
class LinkFit:
    """Seconds of a transfer: `latency_s + bytes / bytes_per_s`, give or take a share of it."""

    latency_s: float
    bytes_per_s: float
    spread: float = NO_SPREAD

    def aged(self, seconds: float) -> LinkFit:
        """The same so many seconds after the last transfer: less sure."""
        spread = min(NO_SPREAD, self.spread * (1 + max(0.0, seconds) / STALE_S))
        return LinkFit(self.latency_s, self.bytes_per_s, spread)


def fit_link(transfers: Sequence[tuple[float, float]], prior: LinkFit) -> LinkFit:
    """Theil-Sen over the last 10 (bytes, seconds).

    Until there are 4, or 2 of very unlike size as two probes are, `prior`; but no more than the
    mean rate, as a slow transfer tells of a slow link, while a quick one may have been buffered.

    Source: Sen 1968; median slope of all pairs, median residual as latency. It bears up to 29 %
    of outliers, such as stalls.
    """
    recent = transfers[-MOST:]
    sizes = [size for size, _ in recent]
    if len(recent) < FEWEST and not (
        len(recent) >= 2 and max(sizes) >= PROBED * min(sizes) and min(sizes) > 0
    ):
        return _at_most_the_mean(recent, prior)
    slopes = [
        (t2 - t1) / (b2 - b1)
        for (b1, t1), (b2, t2) in combinations(recent, 2)
        if max(b1, b2) > APART * min(b1, b2)
    ]
    slope = statistics.median(slopes) if slopes else 0.0
    if slope <= 0:  # noise, or equal sizes: all that is known is an average
        slope = statistics.median(
            max(seconds - prior.latency_s, 1e-6) / max(size, 1.0) for size, seconds in recent
        )
    latency = max(0.0, statistics.median(seconds - slope * size for size, seconds in recent))
    return LinkFit(latency, 1 / slope, _spread(recent, latency, slope))


def _at_most_the_mean(recent: Sequence[tuple[float, float]], prior: LinkFit) -> LinkFit:
    size, seconds = sum(size for size, _ in recent), sum(seconds for _, seconds in recent)
    left = seconds - len(recent) * prior.latency_s
    if left <= 0 or size / left >= prior.bytes_per_s or not size:
        return prior
    return LinkFit(prior.latency_s, size / left, FEW_SPREAD)


def _spread(recent: Sequence[tuple[float, float]], latency_s: float, slope: float) -> float:
    """Median error, as a share of what was expected."""
    if len(recent) < FEWEST:
        return FEW_SPREAD
    expected = [latency_s + slope * size for size, _ in recent]
    errors = [
        abs(seconds - wanted) / max(wanted, 1e-9)
        for (_, seconds), wanted in zip(recent, expected, strict=True)
    ]
    return min(NO_SPREAD, max(LEAST_SPREAD, statistics.median(errors)))
