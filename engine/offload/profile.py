"""What detectors take on one device: measured once, corrected by every run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Measured:
    """One detector at one size. What could not be measured from here is None."""

    detector: str
    resolution: int  # shorter side of the hint in pixels
    pixels: int  # of the hint
    warm_s: float  # median of three calls
    cold_s: float  # first call of a fresh process, with its imports and weights
    cpu_s: float | None  # processor time of a warm call: far from warm_s where others compute too
    memory_bytes: int | None  # what the process grew by
    hint_bytes: int  # as it travels: lossless PNG


@dataclass(frozen=True)
class Profile:
    """Measurements of one lane, and what runs have shown against them since."""

    name: str
    device: str
    date: str  # of the measurement, YYYY-MM-DD; empty: never measured
    versions: Mapping[str, str]  # of packages, by name
    measured: tuple[Measured, ...] = ()
    ratios: Mapping[str, tuple[float, ...]] = field(default_factory=dict[str, tuple[float, ...]])
    """Latest actual / expected of each detector; expected by `measured` or by a stated prior."""

    def warm_s(self, detector: str, pixels: int) -> float | None:
        """Seconds at this size; None where the detector was not measured."""
        return _between([(row.pixels, row.warm_s) for row in self._rows(detector)], pixels)

    def hint_bytes(self, detector: str, pixels: int) -> float | None:
        return _between([(row.pixels, row.hint_bytes) for row in self._rows(detector)], pixels)

    def memory_bytes(self, detector: str, pixels: int) -> float | None:
        """What a process grew by; beyond the measured sizes as at the nearest of them."""
        known = [(row.pixels, row.memory_bytes) for row in self._rows(detector) if row.memory_bytes]
        if not known:
            return None
        return _between(known, min(max(pixels, min(known)[0]), max(known)[0]))

    def load_s(self, detector: str) -> float | None:
        """Seconds that a first call takes longer; the largest of all sizes."""
        rows = self._rows(detector)
        return max((max(0.0, row.cold_s - row.warm_s) for row in rows), default=None)

    @property
    def detectors(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(row.detector for row in self.measured))

    def _rows(self, detector: str) -> list[Measured]:
        return [row for row in self.measured if row.detector == detector]


def _between(points: Sequence[tuple[int, float]], pixels: int) -> float | None:
    """Log-log interpolation between the neighbours, in proportion to pixels beyond the ends.

    Notes:
        A straight line over all sizes is no better: caches make single sizes slow.
    """
    known = sorted((size, value) for size, value in points if value > 0)
    if not known:
        return None
    low = max((point for point in known if point[0] <= pixels), default=None)
    high = min((point for point in known if point[0] >= pixels), default=None)
    if low is None or high is None or low[0] == high[0]:
        size, value = low or high or known[0]
        return value * pixels / size
    share = math.log(pixels / low[0]) / math.log(high[0] / low[0])
    return low[1] * (high[1] / low[1]) ** share
