"""Three failures in a row: leave that worker alone for a minute."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

FAILURES, PAUSE_S = 3, 60.0


class Breaker:
    """Counts a worker's failures in a row; thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._failures, self._until = 0, 0.0

    def succeeded(self) -> None:
        with self._lock:
            self._failures, self._until = 0, 0.0

    def failed(self) -> None:
        with self._lock:
            self._failures += 1
            if self._failures >= FAILURES:
                self._until = self._clock() + PAUSE_S

    def pause_s(self) -> float:
        """Seconds for which the worker is not to be asked."""
        with self._lock:
            return max(0.0, self._until - self._clock())
