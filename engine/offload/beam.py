"""Starts for one worker where each task has a picture of its own to send.

Notes:
    Three machines in series (uplink, worker, downlink): finding the best is strongly NP-hard
    (Garey, Johnson, Sethi 1976), one order for all machines loses little. So for each of five
    orders labels of four clocks are doubled task by task, and the most promising are kept.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .instance import LOCAL, Instance
from .orders import Order, Orders
from .starts import State

LABELS = 300  # kept after each task
ANSWERS = 3  # for each order

Floats = NDArray[np.float64]


def has_own_inputs(instance: Instance) -> bool:
    """Whether `beam` applies: one worker, one task at a time here, no input used twice there."""
    if len(instance.workers) != 1 or instance.local.slots != 1 or instance.chained:
        return False
    [worker] = instance.workers
    used = [need for task in instance.tasks if worker.id in task.run for need in task.needs]
    return worker.slots <= 1 and len(used) == len(set(used))


def beam(instance: Instance, orders: Orders) -> list[State]:
    """The best few states for each order of the tasks at the worker."""
    [worker] = instance.workers
    everywhere = tuple(worker.id if worker.id in task.run else LOCAL for task in instance.tasks)
    found: list[State] = []
    for order in orders.rules(everywhere):
        found += _grow(instance, order)
    return list(dict.fromkeys(found))


def _grow(instance: Instance, order: Order) -> list[State]:
    [worker] = instance.workers
    tasks = [instance.tasks[place] for place in order]
    here = np.array([task.run.get(LOCAL, np.inf) for task in tasks])
    there = np.array([task.run.get(worker.id, np.inf) for task in tasks])
    down = np.array([task.out_bytes / worker.down_bytes_per_s for task in tasks])
    inputs = [
        [item for need in task.needs if worker.id not in (item := instance.input[need]).at]
        for task in tasks
    ]
    left = np.minimum(here, there)[::-1].cumsum()[::-1]
    clocks = np.array([[instance.local.ready_s], [0.0], [worker.ready_s], [0.0]])
    chosen = np.zeros((1, len(order)), dtype=np.bool_)
    for number in range(len(order)):
        local, sent, worked, home = clocks
        there_too = clocks.copy()
        for item in inputs[number]:
            up_s = item.bytes_to(worker.id) / worker.up_bytes_per_s
            sent = np.maximum(sent, item.prepare_s) + up_s
        arrived = sent + worker.latency_s if inputs[number] else np.zeros_like(sent)
        start = np.maximum(worked if worker.slots else worker.ready_s, arrived)
        there_too[1] = sent
        there_too[2] = end = start + there[number]
        there_too[3] = np.maximum(home, end) + down[number]
        clocks[0] = local + here[number]
        clocks = np.concatenate([clocks, there_too], axis=1)
        chosen = np.concatenate([chosen, chosen])
        chosen[len(local) :, number] = True
        rest = float(left[number + 1]) if number + 1 < len(order) else 0.0
        keep = _promising(clocks, rest, worker.latency_s, LABELS)
        clocks, chosen = clocks[:, keep], chosen[keep]
    best = _promising(clocks, 0.0, worker.latency_s, ANSWERS)
    return [_state(instance, order, chosen[label]) for label in best]


def _promising(clocks: Floats, rest: float, latency: float, most: int) -> NDArray[np.intp]:
    """Labels by the least end they may still have: what is over now, or half of all work."""
    local, _, worked, home = clocks
    ends = np.maximum(np.maximum(local, home + latency * (home > 0)), (local + worked + rest) / 2)
    able = np.flatnonzero(np.isfinite(ends))
    return able[np.lexsort((local[able], ends[able]))[:most]]


def _state(instance: Instance, order: Order, mask: NDArray[np.bool_]) -> State:
    [worker] = instance.workers
    lanes = [LOCAL] * len(order)
    for place, edge in zip(order, mask, strict=True):
        if edge:
            lanes[place] = worker.id
    first = [place for place, edge in zip(order, mask, strict=True) if edge]
    rest = [place for place, edge in zip(order, mask, strict=True) if not edge]
    return tuple(lanes), (*first, *rest)
