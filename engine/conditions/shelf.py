"""What is loaded stays at hand: within a memory limit, until it has been idle for a while."""

from __future__ import annotations

import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class _Item(Generic[T]):
    value: T
    size: int
    used: float  # by the monotonic clock


class Shelf(Generic[T]):
    """Loaded things by key. Safe to use from several threads; each key is loaded once.

    Room is made before a load, so that the limit holds while it goes on; one that is over it alone
    is loaded all the same, with nothing beside it. What is dropped lives on in the hands of whoever
    still uses it.
    """

    def __init__(
        self, limit_bytes: int, idle_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.limit_bytes, self.idle_s = limit_bytes, idle_s
        self.loads = 0  # since the start
        self._clock = clock
        self._lock = threading.Lock()
        self._items: OrderedDict[Hashable, _Item[T]] = OrderedDict()
        self._loading: dict[Hashable, int] = {}  # their sizes
        self._doors: dict[Hashable, threading.Lock] = {}
        self._timer: threading.Timer | None = None

    def take(self, key: Hashable, size: int, load: Callable[[], T]) -> T:
        """What `load` made of this key, now or before. `size`: bytes that it holds in memory."""
        with self._lock:
            door = self._doors.setdefault(key, threading.Lock())
        with door:
            with self._lock:
                if (item := self._items.get(key)) is not None:
                    item.used = self._clock()
                    self._items.move_to_end(key)
                    return item.value
                self._loading[key] = size
                self._make_room()
            try:
                value = load()
            except BaseException:
                with self._lock:
                    del self._loading[key]
                raise
            with self._lock:
                self.loads += 1
                self._items[key] = _Item(value, self._loading.pop(key), self._clock())
                self._wake_later()
            return value

    @property
    def bytes(self) -> int:
        """What the loaded ones and those that are being loaded hold."""
        with self._lock:
            return self._held()

    def __contains__(self, key: Hashable) -> bool:
        with self._lock:
            return key in self._items

    def clear(self) -> None:
        """Drop everything."""
        with self._lock:
            self._items.clear()

    def drop_idle(self) -> None:
        """Drop what nobody took for `idle_s`."""
        with self._lock:
            now = self._clock()
            for key in [k for k, item in self._items.items() if now - item.used >= self.idle_s]:
                del self._items[key]
            self._timer = None
            self._wake_later()

    def _held(self) -> int:
        return sum(item.size for item in self._items.values()) + sum(self._loading.values())

    def _make_room(self) -> None:
        while self._items and self._held() > self.limit_bytes:
            self._items.popitem(last=False)

    def _wake_later(self) -> None:
        if self._timer is not None or not self._items:
            return
        idle = self._clock() - min(item.used for item in self._items.values())
        wake = weakref.WeakMethod(self.drop_idle)  # a waiting timer keeps no forgotten shelf alive
        self._timer = threading.Timer(max(0.05, self.idle_s - idle), _call, [wake])
        self._timer.daemon = True
        self._timer.start()


def _call(method: weakref.WeakMethod[Callable[[], None]]) -> None:
    if found := method():
        found()
