"""What this process has learnt of a worker: failures in a row, bandwidth, photos it should hold."""

from __future__ import annotations

import threading
from collections import OrderedDict
from weakref import WeakValueDictionary

from .breaker import Breaker
from .transfers import Direction

MOST_PHOTOS = 256
SELDOM = 4.0  # one photo in so many was there before, say


class Known:
    """One worker, as all runs of this process know it; thread-safe."""

    def __init__(self) -> None:
        self.breaker = Breaker()
        self.uplink, self.downlink = Direction(), Direction()
        self._doors: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()
        self.decode_s_per_mpixel: dict[str, float] = {}
        self.question_s = 0.0  # that the latest small request took
        self._lock = threading.Lock()
        self._blobs: OrderedDict[str, str] = OrderedDict()

    def uploading(self, photo: str) -> threading.Lock:
        """Held while the photo is sent: two conditions on one photo send it once."""
        with self._lock:
            door = self._doors.get(photo)
            if door is None:
                self._doors[photo] = door = threading.Lock()
            return door

    def is_worth_asking(self, size: int) -> bool:
        """Whether to ask if the worker has a photo, or to send its bytes unasked.

        What this process never sent is there seldom, as after its own restart: a question must
        be so many times quicker than the photo.
        """
        rate = self.uplink.bytes_per_s()
        return rate is None or size / rate > SELDOM * self.question_s

    def blob_of(self, photo: str) -> str | None:
        """The name under which the worker got the photo of that sha256, if it did."""
        with self._lock:
            return self._blobs.get(photo)

    def has(self, photo: str, blob: str) -> None:
        with self._lock:
            self._blobs[photo] = blob
            self._blobs.move_to_end(photo)
            if len(self._blobs) > MOST_PHOTOS:
                self._blobs.popitem(last=False)

    def lost(self, photo: str) -> None:
        with self._lock:
            self._blobs.pop(photo, None)


_known: dict[tuple[str, bool], Known] = {}
_lock = threading.Lock()


def known_worker(url: str, *, lossy: bool = False) -> Known:
    """The one record of the worker at this address.

    Where photos go up with a loss it is another one: those photos must not serve exact hints.
    """
    with _lock:
        return _known.setdefault((url, lossy), Known())
