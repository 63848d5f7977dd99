"""What transfers took, and the bandwidth that follows from it."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from .link import MOST, LinkFit, fit_link

LEAST_BYTES = 50_000  # smaller ones vanish in buffers


@dataclass(frozen=True, slots=True)
class Transfer:
    """One body that went over the link."""

    bytes: int
    seconds: float


class Direction:
    """One direction of a link to one worker; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._transfers: deque[Transfer] = deque(maxlen=MOST)

    def add(self, transfer: Transfer) -> None:
        if transfer.bytes >= LEAST_BYTES and transfer.seconds > 0:
            with self._lock:
                self._transfers.append(transfer)

    def bytes_per_s(self) -> float | None:
        """Bandwidth by the latest transfers; None before the first large one."""
        with self._lock:
            return bandwidth(tuple(self._transfers))


def bandwidth(transfers: Sequence[Transfer]) -> float | None:
    """Bytes a second, as `fit_link` tells it; of few transfers all bytes / all seconds."""
    if not transfers:
        return None
    nothing = LinkFit(0.0, math.inf)  # is known beforehand
    return fit_link([(one.bytes, one.seconds) for one in transfers], nothing).bytes_per_s
