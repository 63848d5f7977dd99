"""Starts for several workers or slots: tasks, longest first, spread over all lanes.

Notes:
    A label holds when each slot and each downlink is free. Every task, the longest first, is put
    on every lane that can run it; the most promising labels are kept. Uploads are taken as if
    each worker had the link to itself: the search that follows looks closer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .instance import LOCAL, Instance, Task
from .orders import Orders
from .starts import State

LABELS = 300
ANSWERS = 6

Floats = NDArray[np.float64]
Places = NDArray[np.intp]


@dataclass(frozen=True)
class _Lane:
    name: str
    slots: slice  # of the clocks; empty where all run at once
    ready_s: float
    link: int  # of the downlinks; -1 for this machine
    latency_s: float


@dataclass(frozen=True)
class _Labels:
    clocks: Floats  # [K, slots]
    downs: Floats  # [K, links]
    last: Floats  # [K] when all so far is home
    lanes: Places  # [K, tasks]
    starts: Floats  # [K, tasks]

    def pick(self, which: Places) -> _Labels:
        return _Labels(
            self.clocks[which],
            self.downs[which],
            self.last[which],
            self.lanes[which],
            self.starts[which],
        )


def balanced(instance: Instance, orders: Orders) -> list[State]:
    """The best few states, each in the order of its starts and in the rules' orders."""
    lanes = _lanes(instance)
    by_length = sorted(
        range(len(instance.tasks)), key=lambda n: -min(instance.tasks[n].run.values())
    )
    labels = _first(instance, lanes)
    rest = sum(min(task.run.values()) for task in instance.tasks)
    for place in by_length:
        task = instance.tasks[place]
        rest -= min(task.run.values())
        tried = [
            _put(instance, labels, number, lane, place)
            for number, lane in enumerate(lanes)
            if lane.name in task.run
        ]
        labels = _promising(_joined(tried), rest, LABELS)
    return _states(instance, orders, lanes, _promising(labels, 0.0, ANSWERS))


def _lanes(instance: Instance) -> list[_Lane]:
    links = {worker.link_id: 0 for worker in instance.workers}
    links = {link: number for number, link in enumerate(links)}
    local = instance.local
    found = [_Lane(LOCAL, slice(0, local.slots), local.ready_s, -1, 0.0)]
    for worker in instance.workers:
        first = found[-1].slots.stop
        found.append(
            _Lane(
                worker.id,
                slice(first, first + worker.slots),
                worker.ready_s,
                links[worker.link_id],
                worker.latency_s,
            )
        )
    return found


def _first(instance: Instance, lanes: list[_Lane]) -> _Labels:
    clocks = np.zeros((1, lanes[-1].slots.stop))
    for lane in lanes:
        clocks[:, lane.slots] = lane.ready_s
    count = len(instance.tasks)
    links = 1 + max(lane.link for lane in lanes)
    return _Labels(
        clocks,
        np.zeros((1, links)),
        np.zeros(1),
        np.zeros((1, count), dtype=np.intp),
        np.zeros((1, count)),
    )


def _put(instance: Instance, labels: _Labels, number: int, lane: _Lane, place: int) -> _Labels:
    """All labels with the task on that lane."""
    task = instance.tasks[place]
    arrival = _arrival(instance, task, lane)
    new = labels.pick(np.arange(len(labels.last)))
    if lane.slots.stop > lane.slots.start:
        slots = new.clocks[:, lane.slots]  # a view
        slot = slots.argmin(axis=1)[:, None]
        start = np.maximum(np.take_along_axis(slots, slot, axis=1)[:, 0], arrival)
        np.put_along_axis(slots, slot, (start + task.run[lane.name])[:, None], axis=1)
    else:
        start = np.full(len(new.last), max(lane.ready_s, arrival))
    home = start + task.run[lane.name]
    if lane.link >= 0:
        seconds = task.out_bytes / instance.worker[lane.name].down_bytes_per_s
        new.downs[:, lane.link] = np.maximum(new.downs[:, lane.link], home) + seconds
        home = new.downs[:, lane.link] + lane.latency_s
    new.lanes[:, place], new.starts[:, place] = number, start
    return _Labels(new.clocks, new.downs, np.maximum(new.last, home), new.lanes, new.starts)


def _arrival(instance: Instance, task: Task, lane: _Lane) -> float:
    if lane.name == LOCAL:
        return 0.0
    rate = instance.worker[lane.name].up_bytes_per_s
    return max(
        (
            item.prepare_s + item.bytes_to(lane.name) / rate + lane.latency_s
            for need in task.needs
            if (item := instance.input.get(need)) and lane.name not in item.at
        ),
        default=0.0,
    )


def _joined(parts: list[_Labels]) -> _Labels:
    return _Labels(
        np.concatenate([part.clocks for part in parts]),
        np.concatenate([part.downs for part in parts]),
        np.concatenate([part.last for part in parts]),
        np.concatenate([part.lanes for part in parts]),
        np.concatenate([part.starts for part in parts]),
    )


def _promising(labels: _Labels, rest: float, most: int) -> _Labels:
    """Labels by the least end they may still have: what is over now, or an even load."""
    load = (labels.clocks.sum(axis=1) + rest) / max(1, labels.clocks.shape[1])
    ends = np.maximum(labels.last, load)
    return labels.pick(np.lexsort((load, ends))[:most])


def _states(instance: Instance, orders: Orders, lanes: list[_Lane], labels: _Labels) -> list[State]:
    found: list[State] = []
    for chosen, starts in zip(labels.lanes, labels.starts, strict=True):
        named = tuple(lanes[number].name for number in chosen)
        found.append((named, tuple(int(n) for n in np.argsort(starts, kind="stable"))))
        found += [(named, order) for order in orders.rules(named)]
    return list(dict.fromkeys(found))
