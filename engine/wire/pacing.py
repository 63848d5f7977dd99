"""A sender's own limit of bytes a second, kept chunk by chunk."""

from __future__ import annotations

import time
from collections.abc import Callable

MOST_CHUNK_BYTES = 16384
BURST_S = 0.05  # of traffic that may go at once after a pause
LEAST_BYTES_PER_S = 20_000.0  # slower bodies are taken for stalled ones


class TokenBucket:
    """Tells a sender how long to wait before each chunk. For one thread.

    Args:
        bytes_per_s: the rate; at least `LEAST_BYTES_PER_S` of it is granted.
    """

    def __init__(self, bytes_per_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.bytes_per_s = max(bytes_per_s, LEAST_BYTES_PER_S)
        self.chunk_bytes = min(MOST_CHUNK_BYTES, int(BURST_S * self.bytes_per_s))  # to send at once
        self._clock = clock
        self._most = BURST_S * self.bytes_per_s
        self._credit, self._then = self._most, clock()

    def wait_s(self, count: int) -> float:
        """Seconds until these bytes may go; they count as sent."""
        now = self._clock()
        self._credit = min(self._most, self._credit + (now - self._then) * self.bytes_per_s)
        self._then = now
        self._credit -= count
        return max(0.0, -self._credit / self.bytes_per_s)
