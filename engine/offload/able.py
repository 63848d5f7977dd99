"""Which lanes may, can and have room to run a condition, and why others do not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

from ..conditions import Condition, obstacle
from ..errors import TandemError, Unavailable
from .client import Capabilities, WorkerClient
from .costs import hint_pixels
from .instance import LOCAL
from .prices import Prices
from .room import Room
from .workers import WorkerEntry

ASK_TIMEOUT_S = 3.0
Answers = list[tuple[WorkerEntry, Capabilities]]


def ask(workers: Sequence[WorkerEntry]) -> tuple[Answers, list[str]]:
    """Workers that answered, and a line for each that did not."""

    def one(entry: WorkerEntry) -> Capabilities | TandemError:
        try:
            with closing(WorkerClient(entry)) as client:
                return client.capabilities(ASK_TIMEOUT_S)
        except TandemError as error:  # it failed, or its token is not set
            return error

    if not workers:
        return [], []
    with ThreadPoolExecutor(len(workers), "tandem-ask") as pool:
        answers = list(zip(workers, pool.map(one, workers), strict=True))
    able = [(entry, answer) for entry, answer in answers if not isinstance(answer, TandemError)]
    reasons = [str(answer) for _, answer in answers if isinstance(answer, TandemError)]
    return able, reasons


@dataclass(frozen=True)
class Able:
    """What lanes are up to; `here` is the room on this machine."""

    workers: Answers
    prices: Prices
    here: Room

    def lanes(self, condition: Condition) -> list[tuple[str, Capabilities | None]]:
        """Lanes that may and can run it; where no other can, this machine needs no room for it."""
        found: list[tuple[str, Capabilities | None]] = []
        if condition.where != "this machine":
            found += [
                (entry.alias, can)
                for entry, can in self.workers
                if not self._lack(entry, can, condition)
            ]
        here = condition.where != "edge" and obstacle(condition.request.detector) is None
        if here and (self._fits_here(condition) or not found):
            found.insert(0, (LOCAL, None))
        return found

    def slots(self, entry: WorkerEntry, can: Capabilities, tasks: Iterable[Condition]) -> int:
        """How many of its tasks a worker has room for at a time."""
        needs = [self.prices.new_bytes(entry.alias, condition) for condition in tasks]
        return Room.of_worker(can).slots(max(1, can.slots), needs)

    def here_not(self, condition: Condition) -> str | None:
        """Why it does not run here though it may; None if it does."""
        if condition.where == "edge":
            return None
        if blocked := obstacle(condition.request.detector):
            return f"cannot run here: {blocked}"
        if self._fits_here(condition):
            return None
        tight = _tight(self.prices.new_bytes(LOCAL, condition), self.here)
        alone = (LOCAL, None) in self.lanes(condition)
        return f"may be too large for here: {tight}" if alone else f"has no room here: {tight}"

    def nowhere(self, name: str, condition: Condition, reasons: Sequence[str]) -> TandemError:
        """Why no lane can run it: what stands in the way here, if it may run here at all."""
        blocked = obstacle(condition.request.detector)
        if condition.where != "edge" and blocked:
            return blocked
        lacking = [f"{e.alias}: {self._lack(e, can, condition)}" for e, can in self.workers]
        seen = "; ".join([*reasons, *lacking]) or "no worker in use"
        do = "start or mend the worker, or set the condition's `where` to auto"
        return Unavailable(f"worker for {name}", seen, do)

    def _fits_here(self, condition: Condition) -> bool:
        return self.here.fits(self.prices.new_bytes(LOCAL, condition))

    def _lack(self, entry: WorkerEntry, can: Capabilities, condition: Condition) -> str:
        """Why a worker cannot run it; empty if it can."""
        detector = condition.request.detector
        state = can.detectors.get(detector)
        if state is None or not state.usable:
            return f"no {detector}" + (f" ({state.missing})" if state and state.missing else "")
        sizes = [tall * wide for tall, wide in condition.sizes]
        hints = can.hint_pixels * len(sizes)
        if max(sizes, default=0) > can.photo_pixels or hint_pixels(condition) > hints:
            return "the photo or the hint is too large for it"
        needed, room = self.prices.new_bytes(entry.alias, condition), Room.of_worker(can)
        return "" if room.fits(needed) else _tight(needed, room)


def _tight(needed_bytes: float, room: Room) -> str:
    return f"its network takes about {needed_bytes / 1e6:.0f} MB of {(room.bytes or 0) / 1e6:.0f}"
