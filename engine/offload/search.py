"""Every other case: good starts, then a seeded local search over lanes and order.

The budget is counted in evaluations, not milliseconds: same instance, same plan.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from .instance import Instance
from .orders import Lanes, Order, Orders
from .starts import State

CLOSE = 1 + 5e-4  # of the lower bound: near enough to stop
SEED = 20260


class _SpentError(Exception):
    """The budget of evaluations is used up."""


@dataclass
class _Search:
    instance: Instance
    orders: Orders
    cost: Callable[[Lanes, Order], float]
    evaluations: int
    seen: dict[State, float] = field(default_factory=dict[State, float])
    best: State | None = None
    best_s: float = float("inf")
    enough_s: float = 0.0

    def winner(self) -> State:
        if self.best is None:
            raise ValueError("no start")
        return self.best

    def value(self, state: State) -> float:
        if state not in self.seen:
            if len(self.seen) >= self.evaluations:
                raise _SpentError
            self.seen[state] = seconds = self.cost(*state)
            if seconds < self.best_s:
                self.best, self.best_s = state, seconds
            if self.best_s <= self.enough_s:
                raise _SpentError
        return self.seen[state]


def search(
    instance: Instance,
    orders: Orders,
    starts: Sequence[State],
    cost: Callable[[Lanes, Order], float],
    *,
    evaluations: int,
    enough_s: float,
) -> State:
    """The best state found from `starts` on, which are all looked at.

    Args:
        evaluations: most states to look at.
        enough_s: a makespan that none can beat.
    """
    found = _Search(instance, orders, cost, max(evaluations, len(starts)))
    found.enough_s = enough_s * CLOSE
    chance = random.Random(SEED)  # noqa: S311 - a search, not a secret
    try:
        for start in starts:
            found.value(start)
        _descend(found, found.winner())
        for turn in range(evaluations):
            lanes = found.winner()[0]
            _descend(found, _shaken(found, lanes, chance, wild=turn % 5 == 4))
    except _SpentError:
        pass
    return found.winner()


def _descend(found: _Search, state: State) -> None:
    """First improvement until no neighbour is better."""
    here = found.value(state)
    better = True
    while better:
        better = False
        for neighbour in _neighbours(found, state):
            if (there := found.value(neighbour)) < here * (1 - 1e-12):
                state, here, better = neighbour, there, True
                break


def _neighbours(found: _Search, state: State) -> Iterator[State]:
    instance, (lanes, order) = found.instance, state
    count = len(lanes)
    for place, task in enumerate(instance.tasks):
        for lane in task.run:
            if lane != lanes[place]:
                changed = (*lanes[:place], lane, *lanes[place + 1 :])
                yield changed, found.orders.best_guess(changed)
                yield changed, order
    for one in range(count):
        for two in range(one + 1, count):
            a, b = lanes[one], lanes[two]
            if a != b and b in instance.tasks[one].run and a in instance.tasks[two].run:
                changed = list(lanes)
                changed[one], changed[two] = b, a
                yield tuple(changed), found.orders.best_guess(tuple(changed))
    for place in range(count):
        rest = (*order[:place], *order[place + 1 :])
        for to in range(count):
            if to != place:
                yield lanes, (*rest[:to], order[place], *rest[to:])


def _shaken(found: _Search, lanes: Lanes, chance: random.Random, *, wild: bool) -> State:
    tasks = found.instance.tasks
    changed = list(lanes)
    count = len(changed) if wild else min(len(changed), chance.choice((2, 3)))
    for place in chance.sample(range(len(changed)), count):
        changed[place] = chance.choice(sorted(tasks[place].run))
    return tuple(changed), found.orders.best_guess(tuple(changed))
