"""The makespan of a plan without events: one pass for each stage, for the planner's many trials.

Follows `simulate`'s rules, where no task needs another's hint and all links are full duplex. A
property test holds both together; only the turns of work of zero length may fall otherwise.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from itertools import pairwise

from .instance import LOCAL, Instance
from .simulate import by_encoding


@dataclass(frozen=True, slots=True)
class _There:
    """A task on one worker: seconds, and what must arrive first."""

    run_s: float
    down_s: float
    needs: tuple[tuple[str, float, float], ...]  # input, prepare_s, seconds on the link


@dataclass(frozen=True, slots=True)
class _Edge:
    slots: int
    ready_s: float
    latency_s: float
    link: str


class Passes:
    """Evaluates (lane of each task, order of places) of one instance."""

    def __init__(self, instance: Instance) -> None:
        self._here = [task.run.get(LOCAL, 0.0) for task in instance.tasks]
        self._wanted = [task.wanted for task in instance.tasks]
        self._slots, self._ready_s = instance.local.slots, instance.local.ready_s
        self._edges = {
            worker.id: _Edge(worker.slots, worker.ready_s, worker.latency_s, worker.link_id)
            for worker in instance.workers
        }
        self._there = [
            {lane: _there(instance, task.id, lane) for lane in task.run if lane != LOCAL}
            for task in instance.tasks
        ]

    @staticmethod
    def fits(instance: Instance) -> bool:
        links = {worker.link_id for worker in instance.workers}
        return not instance.chained and not any(map(instance.is_half_duplex, links))

    def makespan(self, lanes: tuple[str, ...], order: tuple[int, ...]) -> float:
        here: list[tuple[float, int]] = []
        there: dict[str, list[tuple[float, int]]] = {}  # worker: (release, place) by rank
        encoded: dict[str, float] = {}
        clock: dict[str, float] = {}
        arrived: dict[tuple[str, str], float] = {}
        for place in order:
            lane = lanes[place]
            if lane == LOCAL:
                here.append((0.0, place))
                continue
            edge, release = self._edges[lane], 0.0
            for need, prepare_s, up_s in self._there[place][lane].needs:
                key = (need, lane)
                if key not in arrived:
                    link = edge.link
                    encoded[link] = max(encoded.get(link, 0.0), prepare_s)
                    clock[link] = max(clock.get(link, 0.0), encoded[link]) + up_s
                    arrived[key] = clock[link] + edge.latency_s
                release = max(release, arrived[key])
            there.setdefault(lane, []).append((release, place))
        last = 0.0
        for end, place in serve(here, self._here, self._slots, self._ready_s):
            if end > last and self._wanted[place]:
                last = end
        return max(last, self._downloads(there, order)) if there else last

    def _downloads(
        self, there: dict[str, list[tuple[float, int]]], order: tuple[int, ...]
    ) -> float:
        rank = {place: number for number, place in enumerate(order)}
        waiting: dict[str, list[tuple[float, int, int, str]]] = {}
        for lane, jobs in there.items():
            edge = self._edges[lane]
            runs = [0.0] * len(self._here)
            for _, place in jobs:
                runs[place] = self._there[place][lane].run_s
            for end, place in serve(jobs, runs, edge.slots, edge.ready_s):
                if self._wanted[place]:
                    waiting.setdefault(edge.link, []).append((end, rank[place], place, lane))
        last = 0.0
        for queue in waiting.values():
            queue.sort()
            clock = 0.0
            for end, _, place, lane in queue:
                clock = max(clock, end) + self._there[place][lane].down_s
                last = max(last, clock + self._edges[lane].latency_s)
        return last


def _there(instance: Instance, task_id: str, lane: str) -> _There:
    task, worker = instance.task[task_id], instance.worker[lane]
    needs = [
        (need, item.prepare_s, item.bytes_to(lane) / worker.up_bytes_per_s)
        for need in by_encoding(instance, task)
        if (item := instance.input.get(need)) and lane not in item.at
    ]
    return _There(task.run[lane], task.out_bytes / worker.down_bytes_per_s, tuple(needs))


def serve(
    jobs: list[tuple[float, int]], seconds: list[float], slots: int, ready_s: float
) -> list[tuple[float, int]]:
    """Ends of (release, place) jobs, the most urgent first, on a lane that never idles."""
    if not slots:
        return [(max(release, ready_s) + seconds[place], place) for release, place in jobs]
    if all(one[0] <= two[0] for one, two in pairwise(jobs)):
        return _in_order(jobs, seconds, slots, ready_s)
    return _by_release(jobs, seconds, slots, ready_s)


def _in_order(
    jobs: list[tuple[float, int]], seconds: list[float], slots: int, ready_s: float
) -> list[tuple[float, int]]:
    ends: list[tuple[float, int]] = []
    if slots == 1:
        clock = ready_s
        for release, place in jobs:
            clock = (clock if clock > release else release) + seconds[place]
            ends.append((clock, place))
        return ends
    free = [ready_s] * slots
    for release, place in jobs:
        end = max(free[0], release) + seconds[place]
        heapq.heapreplace(free, end)
        ends.append((end, place))
    return ends


def _by_release(
    jobs: list[tuple[float, int]], seconds: list[float], slots: int, ready_s: float
) -> list[tuple[float, int]]:
    """Whenever a slot is free, the most urgent job that is there."""
    coming = sorted((max(release, ready_s), rank) for rank, (release, _) in enumerate(jobs))
    free, there, ends = [ready_s] * slots, list[int](), list[tuple[float, int]]()
    number, now = 0, ready_s
    while number < len(coming) or there:
        now = max(now, free[0])  # a slot that idled is no slot in the past
        if not there:
            now = max(now, coming[number][0])
        while number < len(coming) and coming[number][0] <= now:
            heapq.heappush(there, coming[number][1])
            number += 1
        place = jobs[heapq.heappop(there)][1]
        end = now + seconds[place]
        heapq.heapreplace(free, end)
        ends.append((end, place))
    return ends
