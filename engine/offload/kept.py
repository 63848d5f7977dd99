"""Hints kept by what they were made from: a new prompt or strength runs no detector again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..conditions import Condition, find_detector, models
from .instance import LOCAL

MOST_BYTES = 256 * 2**20  # of pictures: some hundred hints at 1024 x 1024
FORMULA = "formula"  # the same bits on every lane

Pictures = tuple[NDArray[np.uint8 | np.uint16], ...]


@dataclass(frozen=True, eq=False)
class Kept:
    """The pictures of one condition, and who made them."""

    pictures: Pictures
    lane: str
    start: str  # the lane's name for its start: a worker begun anew may have other weights
    seconds: float  # of computing

    @property
    def bytes(self) -> int:
        return sum(picture.nbytes for picture in self.pictures)


class KeptHints:
    """The latest hints of this process within a limit of memory. Safe to use from any thread.

    Notes:
        Known by the photos' content, the detector's entry, all its parameters, the resolution
        and the weights: on this machine by their files' paths, sizes and times, on a worker by
        its start. Strength, times and masks do not count: they change no hint.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._hints: OrderedDict[tuple[Hashable, Hashable], Kept] = OrderedDict()

    def find(self, condition: Condition, starts: Mapping[str, str]) -> Kept | None:
        """The hint that a lane made before which the condition may run on.

        `starts`: the present start of each lane; what one made that is not there now, and that
        may be away, is as good as ever.
        """
        content, where = _content(condition), condition.where
        with self._lock:
            for key in self._of(content):
                kept, maker = self._hints[key], key[1]
                if kept.lane != LOCAL and where == "this machine":
                    continue
                if kept.lane == LOCAL and where == "edge" and maker != FORMULA:
                    continue
                here = starts.get(kept.lane, kept.start)
                if maker in (FORMULA, _maker(condition, kept.lane, here)):
                    self._hints.move_to_end(key)
                    return kept
        return None

    def keep(self, condition: Condition, kept: Kept) -> None:
        """Remember a hint; its pictures become read-only."""
        for picture in kept.pictures:
            picture.flags.writeable = False
        key = (_content(condition), _maker(condition, kept.lane, kept.start))
        with self._lock:
            self._hints[key] = kept
            self._hints.move_to_end(key)
            while self.bytes > self._most_bytes:
                self._hints.popitem(last=False)

    def clear(self) -> None:
        with self._lock:
            self._hints.clear()

    @property
    def bytes(self) -> int:
        """Memory of all pictures."""
        return sum(kept.bytes for kept in list(self._hints.values()))

    def __len__(self) -> int:
        return len(self._hints)

    def _of(self, content: Hashable) -> Iterator[tuple[Hashable, Hashable]]:
        return (key for key in reversed(self._hints) if key[0] == content)


def _content(condition: Condition) -> Hashable:
    """What a hint is made from, but for weights."""
    request = condition.request
    detector = find_detector(request.detector)
    settings = {param.name: param.default for param in detector.params} | dict(request.params)
    photos = tuple(photo.sha256 for photo in condition.photos)
    return photos, detector, tuple(sorted(settings.items())), request.resolution


def _maker(condition: Condition, lane: str, start: str) -> Hashable:
    """Which weights a lane uses."""
    if find_detector(condition.request.detector).load is None:
        return FORMULA
    return models().marks(condition.request.detector) if lane == LOCAL else (lane, start)
