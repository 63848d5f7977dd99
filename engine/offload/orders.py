"""Promising orders for given lanes: rules that are optimal in special cases."""

from __future__ import annotations

from collections.abc import Callable

from .instance import LOCAL, Instance, Task

Lanes = tuple[str, ...]  # of each task, in the order of the instance
Order = tuple[int, ...]  # places of tasks in the instance, the most urgent first


class Orders:
    """Johnson's rule on upload + run and run + download first, then others."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        stages = [
            {lane: stage_s(instance, task, lane) for lane in task.run} for task in instance.tasks
        ]
        self._stages = stages
        self._johnson = [
            {lane: _johnson(up + run, run + down) for lane, (up, run, down) in each.items()}
            for each in stages
        ]
        self._others = [
            [{lane: key(*times) for lane, times in each.items()} for each in stages]
            for key in _OTHERS
        ]

    def rules(self, lanes: Lanes) -> list[Order]:
        """All rules' orders, each once."""
        found = [self.best_guess(lanes)]
        if self._instance.chained:
            found.append(self._sorted(self._johnson, lanes))
        else:
            found += [self._sorted(keys, lanes) for keys in self._others]
        return list(dict.fromkeys(found))

    def best_guess(self, lanes: Lanes) -> Order:
        if not self._instance.chained:
            return self._sorted(self._johnson, lanes)
        tails = _tails(self._instance, self._stages, lanes)
        return tuple(sorted(range(len(lanes)), key=lambda place: -tails[place]))

    def _sorted(self, keys: list[dict[str, tuple[float, float]]], lanes: Lanes) -> Order:
        chosen = [keys[place][lane] for place, lane in enumerate(lanes)]
        return tuple(sorted(range(len(lanes)), key=chosen.__getitem__))


def _johnson(first: float, second: float) -> tuple[float, float]:
    return (0, first) if first <= second else (1, -second)


_Key = Callable[[float, float, float], tuple[float, float]]
_OTHERS: tuple[_Key, ...] = (
    lambda up, run, down: (0, -run - down),  # longest tail first
    lambda up, run, down: _johnson(up, run),
    lambda up, run, down: _johnson(up, down),
    lambda up, run, down: _johnson(up, run + down),
    lambda up, run, down: _johnson(run, down),
)


def stage_s(instance: Instance, task: Task, lane: str) -> tuple[float, float, float]:
    """Seconds of upload, run and way home."""
    run = task.run[lane]
    if lane == LOCAL:
        return 0.0, run, 0.0
    worker = instance.worker[lane]
    up = sum(
        item.bytes_to(lane) / worker.up_bytes_per_s
        for need in task.needs
        if (item := instance.input.get(need)) and lane not in item.at
    )
    down = task.out_bytes / worker.down_bytes_per_s if task.wanted else 0.0
    return up, run, down


def _tails(
    instance: Instance, stages: list[dict[str, tuple[float, float, float]]], lanes: Lanes
) -> list[float]:
    """Longest way from the start of each task to the end of all, with transfers."""
    place = {task.id: number for number, task in enumerate(instance.tasks)}
    users: list[list[int]] = [[] for _ in lanes]
    for number, task in enumerate(instance.tasks):
        for need in task.needs:
            if need in place:
                users[place[need]].append(number)
    tails: list[float | None] = [None] * len(lanes)

    def tail(number: int) -> float:
        known = tails[number]
        if known is None:
            _, run, home = stages[number][lanes[number]]
            later = [
                tail(user) + (home if lanes[user] != lanes[number] else 0) for user in users[number]
            ]
            known = tails[number] = run + max([home, *later])
        return known

    return [tail(number) for number in range(len(lanes))]
