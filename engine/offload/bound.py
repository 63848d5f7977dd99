"""A makespan that no plan can go below."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .instance import LOCAL, Instance, Task, Worker

MOST_LANES = 5  # beyond, all sets of used lanes would be too many
DESCENT_STEPS = 60


def lower_bound(instance: Instance) -> float:
    """The greater of the longest task at its best lane and the load that lanes must share.

    Notes:
        Any weights w >= 0 of sum 1 over lanes bound the makespan from below by
        sum over lanes (w * head) + sum over tasks (least w * run / slots over able lanes):
        the dual of dividing the tasks freely over the lanes. `head` of a worker is what no task
        there escapes: the wait for its first input, the last hint's way home. Workers are bounded
        once by their own time and once by that of their downlink.
    """
    wanted = _due(instance)
    if not wanted:
        return 0.0
    longest = max(min(_alone(instance, task, lane) for lane in task.run) for task in wanted)
    by_lane = _shared_load(instance, wanted, _lane_time, _around_lane)
    by_link = _shared_load(instance, wanted, _link_time, _around_link)
    return max(longest, by_lane, by_link)


def _due(instance: Instance) -> list[Task]:
    """Wanted tasks and what they need, which is what the makespan waits for."""
    due: dict[str, Task] = {}
    left = [task.id for task in instance.tasks if task.wanted]
    while left:
        task = instance.task[left.pop()]
        if task.id not in due:
            due[task.id] = task
            left += [need for need in task.needs if need in instance.task]
    return list(due.values())


def _alone(instance: Instance, task: Task, lane: str) -> float:
    """Time of a task that has the lane and the link to itself."""
    if lane == LOCAL:
        return instance.local.ready_s + task.run[lane]
    worker = instance.worker[lane]
    start = max(worker.ready_s, _first_arrival(instance, task, worker))
    return start + task.run[lane] + _way_home(task, worker)


def _first_arrival(instance: Instance, task: Task, worker: Worker) -> float:
    arrivals = [
        item.prepare_s + item.bytes_to(worker.id) / worker.up_bytes_per_s + worker.latency_s
        for need in task.needs
        if (item := instance.input.get(need)) and worker.id not in item.at
    ]
    return max(arrivals, default=0.0)


def _way_home(task: Task, worker: Worker) -> float:
    if not task.wanted:
        return 0.0
    return task.out_bytes / worker.down_bytes_per_s + worker.latency_s


def _shared_load(
    instance: Instance,
    tasks: list[Task],
    time: Callable[[Worker, Task], float],
    around: Callable[[Instance, Worker, Task], tuple[float, float]],
) -> float:
    """The bound by weights: least over which lanes are used at all, since heads bind only those.

    `time` is what a task takes from a worker; `around`, what comes before and after it there.
    """
    here = instance.local
    costs = [[_here(here.slots, task), *_there(instance, task, time)] for task in tasks]
    heads = [here.ready_s, *(_head(instance, tasks, w, around) for w in instance.workers)]
    loads, ready = np.array(costs), np.array(heads)
    if len(heads) > MOST_LANES:
        return _best_weights(loads, np.zeros(len(heads)))
    best = np.inf
    for count in range(1, len(heads) + 1):
        for used in itertools.combinations(range(len(heads)), count):
            part = loads[:, used]
            if np.isfinite(part).any(axis=1).all():
                best = min(best, _best_weights(part, ready[[*used]]))
    return float(best)


def _here(slots: int, task: Task) -> float:
    """Seconds of time that a task takes from all slots together."""
    if LOCAL not in task.run:
        return np.inf
    return task.run[LOCAL] / slots if slots else 0.0


def _there(instance: Instance, task: Task, time: Callable[[Worker, Task], float]) -> list[float]:
    return [time(w, task) if w.id in task.run else np.inf for w in instance.workers]


def _lane_time(worker: Worker, task: Task) -> float:
    return task.run[worker.id] / worker.slots if worker.slots else 0.0


def _around_lane(instance: Instance, worker: Worker, task: Task) -> tuple[float, float]:
    start = max(worker.ready_s, _first_arrival(instance, task, worker))
    return start, _way_home(task, worker)


def _link_time(worker: Worker, task: Task) -> float:
    return task.out_bytes / worker.down_bytes_per_s if task.wanted else 0.0


def _around_link(instance: Instance, worker: Worker, task: Task) -> tuple[float, float]:
    start, home = _around_lane(instance, worker, task)
    return start + task.run[worker.id], min(home, worker.latency_s)


def _head(
    instance: Instance,
    tasks: list[Task],
    worker: Worker,
    around: Callable[[Instance, Worker, Task], tuple[float, float]],
) -> float:
    able = [around(instance, worker, task) for task in tasks if worker.id in task.run]
    if not able:
        return 0.0
    return min(before for before, _ in able) + min(after for _, after in able)


def _best_weights(costs: NDArray[np.float64], heads: NDArray[np.float64]) -> float:
    """The greatest bound found; exact for two lanes. [n, m] seconds, [m] seconds."""
    lanes = len(heads)
    if lanes == 1:
        return float(heads[0] + costs.sum())
    if lanes == 2:
        first, second = costs.T
        both = np.isfinite(costs).all(axis=1)
        total = first[both] + second[both]
        even = np.divide(second[both], total, out=np.zeros_like(total), where=total > 0)
        points = np.unique(np.concatenate([[0.0, 1.0], even]))  # the bound bends only here
        return max(_at_weights(costs, heads, np.array([x, 1 - x])) for x in points)
    weights = np.full(lanes, 1 / lanes)
    best = 0.0
    for step in range(1, DESCENT_STEPS + 1):
        best = max(best, _at_weights(costs, heads, weights))
        priced = _priced(costs, weights)
        chosen = priced.argmin(axis=1)
        load = heads + np.array([costs[chosen == lane, lane].sum() for lane in range(lanes)])
        weights = weights * np.exp(load / max(load.max(), 1e-12) / np.sqrt(step))
        weights /= weights.sum()
    return best


def _priced(costs: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    able = np.isfinite(costs)
    return np.where(able, weights * np.where(able, costs, 0.0), np.inf)


def _at_weights(
    costs: NDArray[np.float64], heads: NDArray[np.float64], weights: NDArray[np.float64]
) -> float:
    return float(weights @ heads + _priced(costs, weights).min(axis=1).sum())
