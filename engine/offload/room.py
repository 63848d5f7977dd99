"""The planner's rule on memory: a network runs only on a lane that has room for it.

If those of several tasks do not fit together, fewer of them run there at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .capabilities import Capabilities


@dataclass(frozen=True, slots=True)
class Room:
    """What networks may take on a lane, in bytes; None: not known, and so no bound."""

    together: float | None = None
    alone: float | None = None  # of one process

    @classmethod
    def of_worker(cls, can: Capabilities) -> Room:
        return cls(can.free_memory_bytes, can.process_memory_bytes)

    @property
    def bytes(self) -> float | None:
        """For one network."""
        return min((one for one in (self.together, self.alone) if one is not None), default=None)

    def fits(self, needed_bytes: float) -> bool:
        return self.bytes is None or needed_bytes <= self.bytes

    def slots(self, most: int, needed_bytes: Sequence[float]) -> int:
        """How many of these tasks may run at a time, whichever they are; at least one."""
        if self.together is None:
            return most
        largest = sorted(needed_bytes, reverse=True)
        while most > 1 and sum(largest[:most]) > self.together:
            most -= 1
        return most
