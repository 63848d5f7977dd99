"""What is to be planned: tasks, the pictures they need, the lanes they may run on.

Times in seconds, sizes in bytes, rates in bytes per second. Plain data with a JSON form.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Self

from ..errors import BadInput

LOCAL = "local"  # the lane of this machine
DUPLEX = ("full", "half")


@dataclass(frozen=True, slots=True)
class Input:
    """A picture that tasks need; `at` names the workers that hold it already."""

    id: str
    bytes: float
    prepare_s: float = 0.0  # encoding before it can be sent; occupies no lane
    at: tuple[str, ...] = ()
    other_bytes: Mapping[str, float] = field(default_factory=dict[str, float])
    """By worker, where it goes in another form."""

    def bytes_to(self, worker: str) -> float:
        """What goes over the link to a worker."""
        return self.other_bytes.get(worker, self.bytes)


@dataclass(frozen=True, slots=True)
class Lane:
    """Where tasks run on this machine: `slots` at a time (0: all at once), from `ready_s` on."""

    slots: int = 1
    ready_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Worker:
    """An edge worker and the way to it; workers of one `link` share its capacity."""

    id: str
    up_bytes_per_s: float
    down_bytes_per_s: float
    slots: int = 1
    ready_s: float = 0.0
    latency_s: float = 0.0  # added to each transfer, does not occupy the link
    link: str = ""  # empty: a link of its own

    @property
    def link_id(self) -> str:
        return self.link or self.id


@dataclass(frozen=True, slots=True)
class Task:
    """One condition: `needs` names inputs or other tasks, `run` the seconds on each able lane."""

    id: str
    needs: tuple[str, ...]
    run: Mapping[str, float]
    out_bytes: float = 0.0
    wanted: bool = True  # its hint is due at home


@dataclass(frozen=True)
class Instance:
    """Everything that a plan is made from.

    Raises:
        BadInput: a number that is negative or not finite, an id used twice, an unknown need, a
            task without a lane, tasks that wait for each other.
    """

    tasks: tuple[Task, ...]
    inputs: tuple[Input, ...] = ()
    local: Lane = Lane()
    workers: tuple[Worker, ...] = ()
    duplex: Mapping[str, str] = field(default_factory=dict[str, str])  # a link's; default full

    def __post_init__(self) -> None:
        _check_ids([*self.inputs, *self.tasks], "id of a task or input")
        _check_ids(self.workers, "id of a worker")
        _check_numbers(self)
        _check_references(self)
        _check_no_circle(self)

    @cached_property
    def task(self) -> Mapping[str, Task]:
        return {task.id: task for task in self.tasks}

    @cached_property
    def input(self) -> Mapping[str, Input]:
        return {item.id: item for item in self.inputs}

    @cached_property
    def worker(self) -> Mapping[str, Worker]:
        return {worker.id: worker for worker in self.workers}

    @cached_property
    def chained(self) -> bool:
        """Whether some task needs another's hint."""
        return any(need in self.task for task in self.tasks for need in task.needs)

    def is_half_duplex(self, link: str) -> bool:
        return self.duplex.get(link, "full") == "half"

    def sorted(self) -> Instance:
        """The same instance in the order of its ids, so that plans do not hang on input order."""
        return Instance(
            tuple(sorted(self.tasks, key=lambda task: task.id)),
            tuple(sorted(self.inputs, key=lambda item: item.id)),
            self.local,
            tuple(sorted(self.workers, key=lambda worker: worker.id)),
            self.duplex,
        )

    def as_dict(self) -> dict[str, Any]:
        return {"version": 1, **asdict(self)}

    @classmethod
    def from_dict(cls, form: Mapping[str, Any]) -> Self:
        """The instance in its JSON form.

        Raises:
            BadInput: another version, missing or unknown keys, or values that cannot be.
        """
        values = dict(form)
        if values.pop("version", None) != 1:
            raise BadInput("instance", form, "need version 1")
        try:
            return cls(
                tuple(Task(**_tupled(task, "needs")) for task in values.pop("tasks")),
                tuple(Input(**_tupled(item, "at")) for item in values.pop("inputs")),
                Lane(**values.pop("local")),
                tuple(Worker(**worker) for worker in values.pop("workers")),
                **values,
            )
        except (TypeError, KeyError) as error:
            raise BadInput("instance", form, f"mend the keys, {error}") from error


def _tupled(form: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {**form, key: tuple(form.get(key, ()))}


def _check_ids(entries: Iterable[Input | Task | Worker], what: str) -> None:
    seen: set[str] = set()
    for entry in entries:
        if entry.id in seen or not entry.id or entry.id == LOCAL:
            raise BadInput(what, entry.id, f"give each its own, not empty and not {LOCAL!r}")
        seen.add(entry.id)


def _check_numbers(instance: Instance) -> None:
    def check(what: str, value: float, *, least: float = 0.0, above: bool = False) -> None:
        if not math.isfinite(value) or value < least or (above and value <= least):
            raise BadInput(what, value, f"need a finite number {'above' if above else 'from'} 0")

    for item in instance.inputs:
        for size in (item.bytes, *item.other_bytes.values()):
            check(f"size of {item.id}", size)
        check(f"prepare_s of {item.id}", item.prepare_s)
    for lane in (instance.local, *instance.workers):
        check("slots", lane.slots)
        check("ready_s", lane.ready_s)
    for worker in instance.workers:
        check(f"latency_s of {worker.id}", worker.latency_s)
        check(f"up_bytes_per_s of {worker.id}", worker.up_bytes_per_s, above=True)
        check(f"down_bytes_per_s of {worker.id}", worker.down_bytes_per_s, above=True)
    for task in instance.tasks:
        check(f"out_bytes of {task.id}", task.out_bytes)
        for lane, seconds in task.run.items():
            check(f"seconds of {task.id} on {lane}", seconds)
    for link, kind in instance.duplex.items():
        if kind not in DUPLEX:
            raise BadInput(f"duplex of {link}", kind, f"choose one of {', '.join(DUPLEX)}")


def _check_references(instance: Instance) -> None:
    for task in instance.tasks:
        if not task.run:
            raise BadInput(f"lanes of {task.id}", {}, "give seconds on one lane at least")
        for lane in task.run:
            if lane != LOCAL and lane not in instance.worker:
                raise BadInput(f"lane of {task.id}", lane, "name the local lane or a worker")
        for need in task.needs:
            if need not in instance.input and need not in instance.task:
                raise BadInput(f"need of {task.id}", need, "name an input or a task")
        if len(set(task.needs)) != len(task.needs):
            raise BadInput(f"needs of {task.id}", task.needs, "name each once")


def _check_no_circle(instance: Instance) -> None:
    left = {
        task.id: {need for need in task.needs if need in instance.task} for task in instance.tasks
    }
    while free := [id for id, needs in left.items() if not needs]:
        for id in free:
            del left[id]
        for needs in left.values():
            needs.difference_update(free)
    if left:
        raise BadInput("tasks", sorted(left), "they wait for each other: break the circle")
