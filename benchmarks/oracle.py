"""The shortest makespan by trial or by a constraint solver; shares no code with the planner.

The solver's starts are free: its optimum is over all schedules, not only over list schedules.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..engine.errors import Unavailable
from ..engine.offload import LOCAL, Instance

TICKS = 10**7  # that the horizon is cut into


def best_of_all_subsets(instance: Instance) -> float:
    """The least makespan over all sets of edge tasks, each in Johnson's order.

    For one worker that runs one task at a time, or all at once; one photo; one local slot.
    """
    [worker], [photo] = instance.workers, instance.inputs
    tasks = [
        (task.run.get(LOCAL, math.inf), task.run.get(worker.id, math.inf), task.out_bytes)
        for task in instance.tasks
    ]
    down = [size / worker.down_bytes_per_s for _, _, size in tasks]
    order = range(len(tasks))
    if worker.slots == 1:
        first = sorted((n for n in order if tasks[n][1] <= down[n]), key=lambda n: tasks[n][1])
        rest = sorted((n for n in order if tasks[n][1] > down[n]), key=lambda n: -down[n])
        flow = [*first, *rest]
    else:
        flow = sorted(order, key=lambda n: tasks[n][1])
    subsets = np.arange(2 ** len(tasks))
    arrival = photo.prepare_s + photo.bytes / worker.up_bytes_per_s + worker.latency_s
    start = max(arrival, worker.ready_s)
    here = np.full(len(subsets), instance.local.ready_s)
    run, home = np.full(len(subsets), start), np.zeros(len(subsets))
    for n in flow:
        edge = (subsets >> n) & 1 == 1
        here[~edge] += tasks[n][0]
        end = (run[edge] if worker.slots == 1 else start) + tasks[n][1]
        run[edge] = end
        home[edge] = np.maximum(home[edge], end) + down[n]
    here[-1] = 0.0  # nothing runs here
    home[1:] += worker.latency_s
    return float(np.maximum(here, home).min())


def optimum(instance: Instance, horizon_s: float, *, seconds: float = 10.0) -> float | None:
    """The least makespan in seconds, None if it was not proved in time.

    Args:
        horizon_s: some makespan that can be reached.
    Raises:
        Unavailable: ortools is not installed.
    """
    if not instance.tasks:
        return 0.0
    try:
        from ortools.sat.python import cp_model
    except ImportError as error:
        raise Unavailable("ortools", "not installed", "pip install ortools") from error
    model = _Model(cp_model, instance, horizon_s)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.max_time_in_seconds = seconds
    if solver.solve(model.model) != cp_model.OPTIMAL:
        return None
    return solver.objective_value / model.ticks_per_s


class _Model:
    def __init__(self, cp_model: Any, instance: Instance, horizon_s: float) -> None:
        self.model: Any = cp_model.CpModel()
        self.instance = instance
        self.ticks_per_s = TICKS / horizon_s
        self.most = TICKS + 1000
        self.on = {
            (task.id, lane): self.model.new_bool_var(f"{task.id} on {lane}")
            for task in instance.tasks
            for lane in task.run
        }
        self.busy: dict[str, list[Any]] = {}
        self.runs = {key: self._run(*key) for key in self.on}
        self.downs = {key: self._down(*key) for key in self.on if key[1] != LOCAL}
        self.ups: dict[tuple[str, str], Any] = {}
        for task in instance.tasks:
            self.model.add_exactly_one(self.on[task.id, lane] for lane in task.run)
            for need in task.needs:
                for lane in task.run:
                    self._wait(task.id, lane, need)
        self._resources()
        self._objective()

    def ticks(self, seconds: float) -> int:
        return round(seconds * self.ticks_per_s)

    def _interval(self, name: str, seconds: float, present: Any, resource: str) -> tuple[Any, Any]:
        start = self.model.new_int_var(0, self.most, f"start {name}")
        end = self.model.new_int_var(0, 2 * self.most, f"end {name}")
        interval = self.model.new_optional_interval_var(
            start, self.ticks(seconds), end, present, name
        )
        self.busy.setdefault(resource, []).append(interval)
        return start, end

    def _run(self, task: str, lane: str) -> tuple[Any, Any]:
        present = self.on[task, lane]
        seconds = self.instance.task[task].run[lane]
        start, end = self._interval(f"{task} {lane}", seconds, present, f"lane {lane}")
        place = self.instance.local if lane == LOCAL else self.instance.worker[lane]
        self.model.add(start >= self.ticks(place.ready_s)).only_enforce_if(present)
        return start, end

    def _link(self, lane: str, way: str) -> str:
        link = self.instance.worker[lane].link_id
        return f"link {link}" + ("" if self.instance.is_half_duplex(link) else way)

    def _down(self, task: str, lane: str) -> tuple[Any, Any]:
        present, worker = self.on[task, lane], self.instance.worker[lane]
        seconds = self.instance.task[task].out_bytes / worker.down_bytes_per_s
        resource = self._link(lane, "down")
        start, end = self._interval(f"{task} {lane} down", seconds, present, resource)
        self.model.add(start >= self.runs[task, lane][1]).only_enforce_if(present)
        return start, end

    def _up(self, what: str, lane: str) -> tuple[Any, Any, Any]:
        """Upload of an input or a task's hint, where somebody needs it."""
        if (what, lane) in self.ups:
            return self.ups[what, lane]
        worker, item = self.instance.worker[lane], self.instance.input.get(what)
        present = self.model.new_bool_var(f"{what} up {lane}")
        size = item.bytes if item else self.instance.task[what].out_bytes
        resource = self._link(lane, "up")
        seconds = size / worker.up_bytes_per_s
        start, end = self._interval(f"{what} up {lane}", seconds, present, resource)
        if item:
            self.model.add(start >= self.ticks(item.prepare_s)).only_enforce_if(present)
        else:
            for source in self.instance.task[what].run:
                if source != lane:
                    both = [present, self.on[what, source]]
                    self.model.add(start >= self._home(what, source)).only_enforce_if(both)
        self.ups[what, lane] = present, start, end
        return self.ups[what, lane]

    def _home(self, task: str, lane: str) -> Any:
        if lane == LOCAL:
            return self.runs[task, lane][1]
        return self.downs[task, lane][1] + self.ticks(self.instance.worker[lane].latency_s)

    def _wait(self, task: str, lane: str, need: str) -> None:
        here, start = self.on[task, lane], self.runs[task, lane][0]
        if need in self.instance.input:
            if lane != LOCAL and lane not in self.instance.input[need].at:
                self._wait_up(here, start, need, lane, [here])
            return
        for source in self.instance.task[need].run:
            both = [here, self.on[need, source]]
            if source == lane:
                self.model.add(start >= self.runs[need, source][1]).only_enforce_if(both)
            elif lane == LOCAL:
                self.model.add(start >= self._home(need, source)).only_enforce_if(both)
            else:
                self._wait_up(here, start, need, lane, both)

    def _wait_up(self, here: Any, start: Any, what: str, lane: str, when: list[Any]) -> None:
        present, _, end = self._up(what, lane)
        self.model.add_bool_or([present, *(item.negated() for item in when)])
        latency = self.ticks(self.instance.worker[lane].latency_s)
        self.model.add(start >= end + latency).only_enforce_if(when)

    def _resources(self) -> None:
        for name, intervals in self.busy.items():
            lane = name.removeprefix("lane ")
            slots = 1
            if name.startswith("lane "):
                place = self.instance.local if lane == LOCAL else self.instance.worker[lane]
                slots = place.slots
            if slots == 1:
                self.model.add_no_overlap(intervals)
            elif slots:
                self.model.add_cumulative(intervals, [1] * len(intervals), slots)

    def _objective(self) -> None:
        makespan = self.model.new_int_var(0, self.most, "makespan")
        for (task, lane), present in self.on.items():
            if self.instance.task[task].wanted:
                self.model.add(makespan >= self._home(task, lane)).only_enforce_if(present)
        self.model.minimize(makespan)


def tolerance(instance: Instance) -> float:
    """Share by which rounding to ticks may move the optimum."""
    return (3 * len(instance.tasks) + math.ceil(len(instance.workers))) / TICKS
