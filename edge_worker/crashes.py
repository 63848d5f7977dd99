"""Which detector crashed on which photo: twice is enough."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable

REFUSE_S = 600.0
ALLOWED = 2
MOST_KEYS = 1024


class Crashes:
    """Remembers crashes, so that a picture that kills its detector is not tried for ever."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._times: OrderedDict[tuple[str, str], deque[float]] = OrderedDict()

    def add(self, detector: str, blob: str) -> None:
        times = self._times.setdefault((detector, blob), deque(maxlen=ALLOWED))
        times.append(self._clock())
        self._times.move_to_end((detector, blob))
        if len(self._times) > MOST_KEYS:
            self._times.popitem(last=False)

    def refused_s(self, detector: str, blob: str) -> float:
        """Seconds that this pair is still refused for; 0 where it is not."""
        times = self._times.get((detector, blob))
        if times is None or len(times) < ALLOWED:
            return 0.0
        return max(0.0, times[0] + REFUSE_S - self._clock())
