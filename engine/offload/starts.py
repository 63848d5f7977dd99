"""Where the search begins: plans that are good for simple reasons."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .instance import LOCAL, Instance, Task
from .orders import Lanes, Order, Orders, stage_s

State = tuple[Lanes, Order]


def trivial(instance: Instance) -> list[Lanes]:
    """All here; all on each worker. What cannot run there runs elsewhere."""
    ids = [worker.id for worker in instance.workers]
    edges = [
        prefer(instance, [first, *(other for other in ids if other != first)]) for first in ids
    ]
    return list(dict.fromkeys([prefer(instance, [LOCAL]), *edges]))


def prefer(instance: Instance, lanes: Sequence[str]) -> Lanes:
    """Each task on the first lane of `lanes` that can, else where it is fastest."""

    def choice(task: Task) -> str:
        for lane in lanes:
            if lane in task.run:
                return lane
        return min(task.run, key=lambda lane: (task.run[lane], lane))

    return tuple(map(choice, instance.tasks))


def starts(
    instance: Instance, orders: Orders, cost: Callable[[Lanes, Order], float]
) -> list[State]:
    """Trivial plans, longest first to the lane that ends earliest, greedy by worth."""
    built = [*trivial(instance), _balanced(instance)]
    states = [(lanes, order) for lanes in dict.fromkeys(built) for order in orders.rules(lanes)]
    return list(dict.fromkeys([*states, _greedy(instance, orders, cost)]))


def _balanced(instance: Instance) -> Lanes:
    load: dict[str, float] = {LOCAL: instance.local.ready_s}
    slots: dict[str, int] = {LOCAL: instance.local.slots}
    for worker in instance.workers:
        load[worker.id], slots[worker.id] = worker.ready_s, worker.slots
    lanes = [""] * len(instance.tasks)
    by_length = sorted(enumerate(instance.tasks), key=lambda pair: -min(pair[1].run.values()))
    for place, task in by_length:
        ends = {
            lane: load[lane] + seconds + stage_s(instance, task, lane)[2]
            for lane, seconds in task.run.items()
        }
        lane = min(sorted(ends), key=ends.__getitem__)
        load[lane] += task.run[lane] / slots[lane] if slots[lane] else 0.0
        lanes[place] = lane
    return tuple(lanes)


def _greedy(instance: Instance, orders: Orders, cost: Callable[[Lanes, Order], float]) -> State:
    """Tasks by falling worth of the edge, each to the lane with the least makespan so far."""
    lanes = list(prefer(instance, [LOCAL]))

    def worth(place: int) -> float:
        task = instance.tasks[place]
        edge = [
            seconds + stage_s(instance, task, lane)[2]
            for lane, seconds in task.run.items()
            if lane != LOCAL
        ]
        return -task.run.get(LOCAL, float("inf")) / max(min(edge), 1e-12) if edge else 0.0

    for place in sorted(range(len(lanes)), key=worth):
        trials: list[tuple[float, str]] = []
        for lane in sorted(instance.tasks[place].run):
            lanes[place] = lane
            tried = tuple(lanes)
            trials.append((cost(tried, orders.best_guess(tried)), lane))
        lanes[place] = min(trials)[1]
    return tuple(lanes), orders.best_guess(tuple(lanes))
