"""What a task and a transfer are expected to take, corrected by what they took.

Until something was measured a stated prior holds: the detector's price in the registry, the
worker's own measurements, a link of 100 Mbit/s. A profile of a lane is better than a price.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable

from ..conditions import Condition, Photo, find_detector
from .link import MOST, STALE_S, LinkFit, fit_link
from .profile import Profile

PRIOR_BYTES_PER_S = 12.5e6
PHOTO_BYTES_PER_PIXEL = 1.2  # WebP lossless, method 0
LOSSY_BYTES_PER_PIXEL = 0.6  # JPEG at quality 95, measured on photo-like pictures
ENCODE_S_PER_MPIXEL = 0.08  # the same
REQUEST_S = 0.01  # what a worker spends around a detector: parsing, handing over
DECODE_S_PER_MPIXEL = 0.04
LOAD_S = 1.5  # of a network, until one was loaded
WARM_S = 600.0  # that a network is taken to stay loaded after a run
LEAST_LOAD_S = 0.02  # less is no loading
RECENT = 5  # ratios that make a correction
STEP = 2.0  # most that a correction grows or shrinks by at once: one odd run is not believed

Pair = tuple[str, str]
Transferred = tuple[float, float]  # bytes, seconds


class Costs:
    """What this process has learnt about lanes and links. Safe to use from several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._measured: dict[Pair, float] = {}  # when a link was used last
        self._ratios: dict[Pair, deque[float]] = defaultdict(lambda: deque(maxlen=RECENT))
        self._factors: dict[Pair, float] = {}
        self._transfers: dict[Pair, deque[Transferred]] = defaultdict(lambda: deque(maxlen=MOST))
        self._held: dict[Pair, str] = {}
        self._loads: dict[Pair, deque[float]] = defaultdict(lambda: deque(maxlen=RECENT))
        self._warm: dict[Pair, tuple[str, float]] = {}  # start of the lane, time of the last run
        self._profiles: dict[str, Profile] = {}

    def adopt(self, lane: str, profile: Profile) -> None:
        """Plan with a profile from now on, and with what it says that runs showed."""
        with self._lock:
            self._profiles[lane] = profile
            for key in [key for key in self._ratios if key[0] == lane]:
                del self._ratios[key]
                self._factors.pop(key, None)
            for detector, ratios in profile.ratios.items():
                if not ratios:
                    continue
                self._ratios[lane, detector].extend(ratios)
                self._factors[lane, detector] = statistics.median(ratios[-RECENT:])

    def profile(self, lane: str) -> Profile | None:
        """That of a lane, if it was measured."""
        with self._lock:
            return self._profiles.get(lane)

    def ratios(self) -> dict[str, dict[str, tuple[float, ...]]]:
        """Latest actual / expected seconds of each lane's detectors."""
        found: dict[str, dict[str, tuple[float, ...]]] = {}
        with self._lock:
            for (lane, detector), ratios in self._ratios.items():
                found.setdefault(lane, {})[detector] = tuple(ratios)
        return found

    def is_known(self, lane: str, detector: str) -> bool:
        """Whether anything was ever measured of a detector on a lane, or only a price is known."""
        with self._lock:
            profile = self._profiles.get(lane)
            return bool(
                self._ratios.get((lane, detector)) or (profile and detector in profile.detectors)
            )

    def run_s(self, lane: str, detector: str, prior_s: float) -> float:
        """Expected seconds on `lane` of what would take `prior_s` if nothing were measured."""
        with self._lock:
            return prior_s * self._factors.get((lane, detector), 1.0)

    def observe_run(self, lane: str, detector: str, prior_s: float, actual_s: float) -> None:
        """Learns from a finished run: median of the last ratios, moved by a factor 2 at most."""
        if prior_s <= 0 or actual_s <= 0:
            return
        with self._lock:
            key = (lane, detector)
            self._ratios[key].append(actual_s / prior_s)
            old = self._factors.get(key, 1.0)
            seen = statistics.median(self._ratios[key])
            self._factors[key] = min(max(seen, old / STEP), old * STEP)

    def load_s(self, lane: str, start: str, detector: str, profile: Profile | None = None) -> float:
        """Expected seconds until a detector can run; `start` names the present start of a lane.

        0 for formulas and for networks that ran there a short while ago.
        """
        if not find_detector(detector).is_network:
            return 0.0
        with self._lock:
            warm, last = self._warm.get((lane, detector), ("", -WARM_S))
            if warm == start and self._clock() - last < WARM_S:
                return 0.0
            loads = self._loads[lane, detector]
            if loads:
                return statistics.median(loads)
            measured = profile.load_s(detector) if profile else None
            return LOAD_S if measured is None else measured

    def observe_load(self, lane: str, start: str, detector: str, seconds: float) -> None:
        """Learns that a detector is ready on a lane; `seconds` near 0: it was before."""
        with self._lock:
            self._warm[lane, detector] = (start, self._clock())
            if seconds > LEAST_LOAD_S:
                self._loads[lane, detector].append(seconds)

    def observe_stop(self, lane: str) -> None:
        """Learns that a worker was told to stop what it ran: the process ends, with its networks.

        A worker with several may have lost fewer; its next runs tell.
        """
        with self._lock:
            for key in [key for key in self._warm if key[0] == lane]:
                del self._warm[key]

    def link(self, worker: str, direction: str, latency_s: float) -> LinkFit:
        """Expected latency and rate, less sure with time; `direction` is "up" or "down"."""
        with self._lock:
            transfers = list(self._transfers[worker, direction])
            age_s = self._clock() - self._measured.get((worker, direction), 0.0)
        return fit_link(transfers, LinkFit(latency_s, PRIOR_BYTES_PER_S)).aged(age_s)

    def is_link_known(self, worker: str, direction: str) -> bool:
        """Whether enough transfers tell its rate, and the last of them is not old."""
        with self._lock:
            transfers = list(self._transfers[worker, direction])
            age_s = self._clock() - self._measured.get((worker, direction), -STALE_S)
        prior = LinkFit(0.0, PRIOR_BYTES_PER_S)
        return fit_link(transfers, prior) is not prior and age_s < STALE_S

    def observe_transfer(self, worker: str, direction: str, size: float, seconds: float) -> None:
        with self._lock:
            self._transfers[worker, direction].append((size, seconds))
            self._measured[worker, direction] = self._clock()

    def holds(self, worker: str, instance: str, photo: Photo) -> bool:
        """Whether this run of the worker was sent the photo before. It may have dropped it."""
        with self._lock:
            return self._held.get((worker, photo.sha256)) == instance

    def observe_photo(self, worker: str, instance: str, photo: Photo) -> None:
        with self._lock:
            self._held[worker, photo.sha256] = instance
            while len(self._held) > 1000:
                del self._held[next(iter(self._held))]


def request_s(condition: Condition) -> float:
    """Seconds that a worker adds to the detector's."""
    return len(condition.sizes) * REQUEST_S + DECODE_S_PER_MPIXEL * _pixels(condition.sizes) / 1e6


def hint_sizes(condition: Condition) -> list[int]:
    """Pixels of each of its hints."""
    return [tall * wide for tall, wide in condition.hint_sizes]


def hint_pixels(condition: Condition) -> int:
    return sum(hint_sizes(condition))


def photo_bytes(photo: Photo, *, lossy: bool = False) -> float:
    """Size of a photo on the wire."""
    each = LOSSY_BYTES_PER_PIXEL if lossy else PHOTO_BYTES_PER_PIXEL
    return each * _pixels([photo.pixels.shape[:2]])


def encode_s(photo: Photo) -> float:
    return ENCODE_S_PER_MPIXEL * _pixels([photo.pixels.shape[:2]]) / 1e6


def _pixels(sizes: Iterable[tuple[int, ...]]) -> int:
    return sum(tall * wide for tall, wide in sizes)
