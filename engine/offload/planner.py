"""From an instance to a plan: exact where the structure is the common one, searched elsewhere."""

from __future__ import annotations

from collections.abc import Callable

from .balance import balanced
from .beam import beam, has_own_inputs
from .bound import lower_bound
from .instance import LOCAL, Instance
from .orders import Lanes, Order, Orders
from .passes import Passes
from .plan import Method, Plan
from .search import search
from .simulate import run_order
from .standard import assign, is_standard
from .starts import State, prefer, starts, trivial

MANY_TASKS = 9  # from here on the search gets twice the evaluations


def plan(instance: Instance, *, evaluations: int = 300) -> Plan:
    """The plan of least makespan that is found; the same for the same tasks in any order.

    It is never longer, as predicted, than running everything here or everything at the edge.
    Ties go to less time on this machine, then to fewer bytes.

    Args:
        evaluations: budget of the search where the exact method does not apply.
    """
    return _Planner(instance.sorted()).plan(evaluations)


class _Planner:
    def __init__(self, case: Instance) -> None:
        self.case = case
        self.orders = Orders(case)
        self.cost = _cost(case)

    def plan(self, evaluations: int) -> Plan:
        candidates = [
            (lanes, order) for lanes in trivial(self.case) for order in self.orders.rules(lanes)
        ]
        values = {state: self.cost(*state) for state in candidates}
        bound = 0.0 if is_standard(self.case) else lower_bound(self.case)
        found, method = self._find(evaluations, bound)
        if method == "beam":
            bound = lower_bound(self.case)
        values[found] = self.cost(*found)
        best = min(values, key=lambda state: (values[state], *self._tie(state)))
        local = prefer(self.case, [LOCAL])
        lanes = {lane for task in self.case.tasks for lane in task.run}
        here = [value for state, value in values.items() if state[0] == local]
        edge = [values[state] for state in candidates if self._is_edge(state[0])]
        ids = tuple(self.case.task)
        return Plan(
            lane=dict(zip(ids, best[0], strict=True)),
            order=tuple(ids[place] for place in best[1]),
            makespan_s=values[best],
            method=method,
            lower_bound_s=values[best] if method == "exact" else min(bound, values[best]),
            all_local_s=min(here) if LOCAL in lanes else None,
            all_edge_s=min(edge) if lanes - {LOCAL} else None,
        )

    def _find(self, evaluations: int, bound: float) -> tuple[State, Method]:
        case = self.case
        if is_standard(case):
            chosen = assign(case)
            [worker] = case.workers
            place = {name: number for number, name in enumerate(case.task)}
            lanes = tuple(worker.id if name in chosen.edge else LOCAL for name in case.task)
            rest = [name for name in case.task if name not in chosen.edge]
            order = tuple(place[name] for name in (*chosen.order, *rest))
            return (lanes, order), "exact" if chosen.exact else "beam"
        first = prefer(case, [LOCAL])
        if not case.tasks or (not case.workers and case.local.slots == 1 and not case.chained):
            return (first, self.orders.best_guess(first)), "exact"
        begin = starts(case, self.orders, self.cost)
        if has_own_inputs(case):
            begin += beam(case, self.orders)
        elif not case.chained:
            begin += balanced(case, self.orders)
        found = search(
            case,
            self.orders,
            list(dict.fromkeys(begin)),
            self.cost,
            evaluations=evaluations * (2 if len(case.tasks) >= MANY_TASKS else 1),
            enough_s=bound,
        )
        return found, "search"

    def _is_edge(self, lanes: Lanes) -> bool:
        """Whether all that may run on a worker does."""
        return all(
            lane != LOCAL or set(task.run) == {LOCAL}
            for task, lane in zip(self.case.tasks, lanes, strict=True)
        )

    def _tie(self, state: State) -> tuple[float, float, State]:
        """Less time on this machine, then fewer bytes over links, then task id."""
        here = sent = 0.0
        inputs: set[tuple[str, str]] = set()
        for task, lane in zip(self.case.tasks, state[0], strict=True):
            if lane == LOCAL:
                here += task.run[LOCAL]
            else:
                sent += task.out_bytes
                inputs |= {(need, lane) for need in task.needs}
        for need, lane in inputs:
            item = self.case.input.get(need)
            sent += item.bytes_to(lane) if item and lane not in item.at else 0.0
        return here, sent, state


def _cost(case: Instance) -> Callable[[Lanes, Order], float]:
    if Passes.fits(case):
        return Passes(case).makespan
    ids = tuple(case.task)

    def cost(lanes: Lanes, order: Order) -> float:
        named = dict(zip(ids, lanes, strict=True))
        return run_order(case, named, [ids[place] for place in order], {}).makespan_s

    return cost
