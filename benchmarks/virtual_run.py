"""A plan run on a simulated clock: the real board decides, times are given.

Lanes behave like the executor's: a photo goes up once, one at a time over a link; a worker takes
requests in their order, its hints come down as they finish; a request can be stopped, a detector
on this machine cannot.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ..engine.offload import LOCAL, Instance, Plan
from ..engine.offload.board import Board, places
from ..engine.offload.outlook import Job

POLL_S = 0.05  # as often the executor's idle lanes look up
MOST_POLLS = 400


class FixedBoard(Board):
    """Each lane does what was planned, come what may."""

    def to_steal(self, lane: str, now: float) -> str | None:
        return None

    def to_copy(self, lane: str, now: float) -> tuple[str, str] | None:
        return None


class StealingBoard(Board):
    """Takes over what has not begun, but runs nothing twice."""

    def to_copy(self, lane: str, now: float) -> tuple[str, str] | None:
        return None


POLICIES: Mapping[str, Callable[[Instance, Plan], Board]] = {
    "fixed plan": FixedBoard,
    "stealing": StealingBoard,
    "shipped": Board,
}


def virtual_run(
    instance: Instance,
    plan: Plan,
    actual: Mapping[tuple[str, str], float],
    policy: Callable[[Instance, Plan], Board] = Board,
    dies: Mapping[str, float] | None = None,
) -> float:
    """Seconds until all hints are home.

    Args:
        actual: seconds of each (task, lane); the plan's own where missing.
        dies: when workers die; noticed at once by who waits for them.
    """
    return _Clock(instance, policy(instance, plan), actual, dies or {}).run(plan.makespan_s)


@dataclass(eq=False)
class _Clock:
    instance: Instance
    board: Board
    actual: Mapping[tuple[str, str], float]
    dies: Mapping[str, float]
    now: float = 0.0
    events: list[tuple[float, int, Callable[[], None]]] = field(
        default_factory=list[tuple[float, int, Callable[[], None]]]
    )
    count: int = 0
    link_free: dict[str, float] = field(default_factory=dict[str, float])
    arrival: dict[tuple[str, str], float] = field(default_factory=dict[tuple[str, str], float])
    waiting: dict[str, list[Job]] = field(default_factory=dict[str, list[Job]])
    busy: dict[str, list[Job]] = field(default_factory=dict[str, list[Job]])
    stopped: set[Job] = field(default_factory=set[Job])

    def run(self, makespan_s: float) -> float:
        for lane, time in self.dies.items():
            self._at(time, lambda lane=lane: self._die(lane))
        step = max(POLL_S, 4 * makespan_s / MOST_POLLS)
        for number in range(1, MOST_POLLS):
            self._at(number * step, lambda: None)
        self._feed()
        while not self.board.finished:
            self.now, _, act = heapq.heappop(self.events)
            act()
            self._feed()
        return self.now

    def _at(self, time: float, act: Callable[[], None]) -> None:
        self.count += 1
        heapq.heappush(self.events, (time, self.count, act))

    def _seconds(self, job: Job) -> float:
        key = (job.task, job.lane)
        return self.actual.get(key, self.instance.task[job.task].run[job.lane])

    def _feed(self) -> None:
        found = True
        while found and not self.board.finished:
            found = False
            for lane in (LOCAL, *self.instance.worker):
                while job := self.board.take(lane, self.now):
                    found = True
                    if lane == LOCAL:
                        self._at(self.now + self._seconds(job), lambda job=job: self._home(job))
                    else:
                        self._send(job)

    def _send(self, job: Job) -> None:
        worker, ready = self.instance.worker[job.lane], self.now
        for need in self.instance.task[job.task].needs:
            item, key = self.instance.input.get(need), (need, job.lane)
            if item is None or job.lane in item.at:
                continue
            if key not in self.arrival:
                link = f"{worker.link_id} up"
                begin = max(self.link_free.get(link, 0.0), self.now + item.prepare_s)
                self.link_free[link] = begin + item.bytes / worker.up_bytes_per_s
                self.arrival[key] = self.link_free[link] + worker.latency_s
                self._at(
                    self.arrival[key],
                    lambda key=key: self.board.outlook.sent(key[1], key[0], self.now),
                )
            ready = max(ready, self.arrival[key])
        self._at(max(ready, worker.ready_s), lambda: self._queue(job))

    def _queue(self, job: Job) -> None:
        if job not in self.stopped:
            self.waiting.setdefault(job.lane, []).append(job)
            self._serve(job.lane)

    def _serve(self, lane: str) -> None:
        queue, busy = self.waiting.setdefault(lane, []), self.busy.setdefault(lane, [])
        slots = self.instance.worker[lane].slots or places(self.instance, lane)
        while queue and len(busy) < slots:
            job = queue.pop(0)
            busy.append(job)
            self._at(self.now + self._seconds(job), lambda job=job: self._ran(job))

    def _ran(self, job: Job) -> None:
        if job in self.stopped:
            return
        self.busy[job.lane].remove(job)
        self._serve(job.lane)
        worker = self.instance.worker[job.lane]
        link = f"{worker.link_id} down"
        begin = max(self.link_free.get(link, 0.0), self.now)
        size = self.instance.task[job.task].out_bytes
        self.link_free[link] = end = begin + size / worker.down_bytes_per_s
        self._at(end + worker.latency_s, lambda: self._home(job))

    def _home(self, job: Job) -> None:
        if job in self.stopped:
            return
        self.board.arrived(job, self._seconds(job), self.now)
        for rival in self.board.rivals(job.task):
            if rival.lane != LOCAL:
                self._stop(rival)

    def _stop(self, job: Job) -> None:
        self.stopped.add(job)
        self.board.dropped(job, self.now)
        for jobs in (self.waiting.get(job.lane, []), self.busy.get(job.lane, [])):
            if job in jobs:
                jobs.remove(job)
        self._serve(job.lane)

    def _die(self, lane: str) -> None:
        for job in self.board.outlook.jobs(lane):
            self.stopped.add(job)
        stuck = self.board.close(lane, "died", self.now)
        if stuck:
            raise ValueError(f"{stuck} can run nowhere else")
