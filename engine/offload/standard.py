"""The common case, exactly: one worker, one upload for all, one task at a time here.

Notes:
    With the set of edge tasks fixed, the worker and the downlink are two machines in series, for
    which Johnson's order is optimal (Johnson 1954); a worker that runs all at once is served
    best in the order in which its tasks finish. The order of a subset is the order induced by
    the whole. So tasks are taken in that one order and each label (clock of this machine, of the
    worker, of the downlink) is doubled: task here, task there. Labels that cannot beat the best
    plan known are dropped, which keeps them few.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .instance import LOCAL, Instance, Task, Worker

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Assignment:
    """Which tasks go to the worker; `order` is the order there. `exact`: none is shorter."""

    edge: frozenset[str]
    order: tuple[str, ...]
    exact: bool


@dataclass(frozen=True)
class _Flow:
    """Tasks that can run on the worker, in the order of the flow; [n] seconds."""

    tasks: tuple[Task, ...]
    here: Floats  # inf: cannot run here
    there: Floats
    down: Floats
    ready: float  # of the worker, with all inputs there
    latency: float
    base: float  # of this machine, with the tasks that must stay
    stays: bool  # some task must
    serial: bool

    def after(self, n: int, worker: Floats, downlink: Floats) -> tuple[Floats, Floats]:
        """Clocks of worker and downlink once task n ran there."""
        if self.serial:
            worker = worker + self.there[n]
            return worker, np.maximum(downlink, worker) + self.down[n]
        return worker, np.maximum(downlink, self.ready + self.there[n]) + self.down[n]


def is_standard(instance: Instance) -> bool:
    """Whether `assign` applies."""
    if len(instance.workers) != 1 or instance.local.slots != 1 or instance.chained:
        return False
    worker = instance.workers[0]
    if worker.slots > 1 or instance.is_half_duplex(worker.link_id):
        return False
    if not all(task.wanted for task in instance.tasks):
        return False
    return len({frozenset(task.needs) for task in instance.tasks if worker.id in task.run}) <= 1


def assign(instance: Instance) -> Assignment:
    """The edge tasks of the shortest plan of a standard instance.

    Ties go to less time on this machine. `exact` is False where labels had to be thinned out
    (beyond about 20 tasks).
    """
    flow = _flow(instance)
    if not flow.tasks:
        return Assignment(frozenset(), (), exact=True)
    masks = _starts(flow)
    spans, loads = _evaluate(flow, masks)
    first = int(np.lexsort((loads, spans))[0])
    best, mask = (spans[first], loads[first]), masks[first]
    found, exact = _grow(flow, float(spans[first]))
    if found is not None:
        [span], [load] = _evaluate(flow, found[None])
        if (span, load) < best:
            mask = found
    edge = tuple(task.id for task, there in zip(flow.tasks, mask, strict=True) if there)
    return Assignment(frozenset(edge), edge, exact)


def _flow(instance: Instance) -> _Flow:
    [worker] = instance.workers
    able = [task for task in instance.tasks if worker.id in task.run]
    serial = worker.slots == 1

    def johnson(task: Task) -> tuple[float, float]:
        run, down = task.run[worker.id], task.out_bytes / worker.down_bytes_per_s
        if not serial:
            return 0, run
        return (0, run) if run <= down else (1, -down)

    able.sort(key=johnson)
    stay = [task.run[LOCAL] for task in instance.tasks if worker.id not in task.run]
    return _Flow(
        tuple(able),
        np.array([task.run.get(LOCAL, np.inf) for task in able]),
        np.array([task.run[worker.id] for task in able]),
        np.array([task.out_bytes / worker.down_bytes_per_s for task in able]),
        max(worker.ready_s, _arrival(instance, worker, able)),
        worker.latency_s,
        instance.local.ready_s + sum(stay),
        bool(stay),
        serial,
    )


def _arrival(instance: Instance, worker: Worker, able: list[Task]) -> float:
    """When all inputs are there, sent one by one: longest preparation last is shortest."""
    needs = [instance.input[need] for need in (able[0].needs if able else ())]
    clock = arrival = 0.0
    for item in sorted(needs, key=lambda item: (item.prepare_s, item.id)):
        if worker.id not in item.at:
            up_s = item.bytes_to(worker.id) / worker.up_bytes_per_s
            clock = max(clock, item.prepare_s) + up_s
            arrival = clock + worker.latency_s
    return arrival


def _starts(flow: _Flow) -> Flags:
    """All-local, all-edge, and every prefix of three orders of worth; [rows, n]."""
    n = len(flow.tasks)
    must = ~np.isfinite(flow.here)
    here = np.where(must, 0.0, flow.here)
    tiny = 1e-12
    worths = (
        here / (flow.there + flow.down + tiny),
        here / (np.maximum(flow.there, flow.down) + tiny),
        here - flow.there - flow.down,
    )
    prefixes = np.arange(n + 1)[:, None]
    blocks: list[Flags] = []
    for worth in worths:
        place = np.empty(n, dtype=np.int64)
        place[np.argsort(-worth, kind="stable")] = np.arange(n)
        blocks.append(place[None] < prefixes)
    return np.concatenate(blocks) | must


def _evaluate(flow: _Flow, masks: Flags) -> tuple[Floats, Floats]:
    """Makespan and time of this machine for each row of [rows, n]."""
    rows = len(masks)
    here = np.where(np.isfinite(flow.here), flow.here, 0.0)
    load = flow.base + np.where(masks, 0.0, here).sum(axis=1)
    load[masks.all(axis=1) & (not flow.stays)] = 0.0  # this machine may be late, nobody waits
    worker, downlink = np.full(rows, flow.ready), np.full(rows, -np.inf)
    for n in range(len(flow.tasks)):
        ran, home = flow.after(n, worker, downlink)
        worker = np.where(masks[:, n], ran, worker)
        downlink = np.where(masks[:, n], home, downlink)
    return np.maximum(load, downlink + flow.latency), load


def _most_labels(n: int) -> int:
    for size, most in ((20, 70_000), (24, 20_000), (60, 4_000)):
        if n <= size:
            return most
    return max(400, 160_000 // n)


def _grow(flow: _Flow, bound: float) -> tuple[Flags | None, bool]:
    """The best row that beats or equals `bound`, if any, and whether none was thinned out."""
    n = len(flow.tasks)
    most, exact = _most_labels(n), True
    local = np.array([flow.base])
    worker, downlink = np.array([flow.ready]), np.array([-np.inf])
    history: list[tuple[NDArray[np.int64], int]] = []
    least = np.minimum(flow.here, flow.there)
    rest = np.append(least[::-1].cumsum()[::-1], 0.0)  # that the two clocks must still share
    both = (2 * bound - flow.latency) * (1 + 1e-12)
    for task in range(n):
        ran, home = flow.after(task, worker, downlink)
        count = len(local)
        local = np.concatenate([local + flow.here[task], local])
        worker = np.concatenate([worker, ran])
        downlink = np.concatenate([downlink, home])
        can = (local <= bound) & (downlink + flow.latency <= bound)
        if flow.serial:
            can &= local + worker + rest[task + 1] <= both
        keep = np.flatnonzero(can)
        if not len(keep):
            return None, exact
        if not flow.serial:
            keep = keep[_pareto(local[keep], downlink[keep])]
        if len(keep) > most:
            exact = False
            keep = keep[_thin(local[keep], worker[keep], downlink[keep], most)]
        local, worker, downlink = local[keep], worker[keep], downlink[keep]
        history.append((keep, count))
    spans = np.maximum(local, downlink + flow.latency)
    return _trace(history, int(np.lexsort((local, spans))[0])), exact


def _trace(history: list[tuple[NDArray[np.int64], int]], label: int) -> Flags:
    mask = np.zeros(len(history), dtype=np.bool_)
    for task in range(len(history) - 1, -1, -1):
        keep, count = history[task]
        doubled = int(keep[label])
        mask[task] = doubled >= count
        label = doubled % count
    return mask


def _pareto(local: Floats, downlink: Floats) -> NDArray[np.int64]:
    """Labels that no other beats in both clocks."""
    order = np.lexsort((downlink, local))
    least = np.minimum.accumulate(downlink[order])
    new = np.concatenate([[True], least[1:] < least[:-1]])
    return np.sort(order[new])


def _thin(local: Floats, worker: Floats, downlink: Floats, most: int) -> NDArray[np.int64]:
    """Of each of many ranges of local time, the label of least downlink and of least worker."""
    low, high = local.min(), local.max()
    buckets = max(1, most // 4)
    bucket = ((local - low) / max(high - low, 1e-300) * (buckets - 1)).astype(np.int64)
    kept: list[NDArray[np.int64]] = []
    for clock in (downlink, worker):
        order = np.lexsort((local, clock, bucket))
        first = np.concatenate([[True], np.diff(bucket[order]) > 0])
        kept.append(order[first])
    return np.unique(np.concatenate(kept))
