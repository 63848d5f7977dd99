"""A plan: which lane each task runs on, and in which order lanes and links serve the tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

from ..errors import BadInput
from .instance import Instance

Method = Literal["exact", "beam", "search"]


@dataclass(frozen=True)
class Plan:
    """Plain data; stays valid when times change, since `order` is only a priority list."""

    lane: Mapping[str, str]  # of each task
    order: tuple[str, ...]  # all tasks, the most urgent first
    makespan_s: float  # predicted
    method: Method  # exact: no plan is shorter under the model
    lower_bound_s: float  # the makespan itself where the method is exact
    all_local_s: float | None  # everything here that may run here; None where nothing may
    all_edge_s: float | None  # everything on workers that may run there; None where nothing may

    def check(self, instance: Instance) -> None:
        """That this plan serves exactly the tasks of `instance`, each on a lane that can.

        Raises:
            BadInput: it does not.
        """
        if sorted(self.order) != sorted(instance.task) or set(self.lane) != set(instance.task):
            raise BadInput("plan", self.order, f"plan these tasks: {', '.join(instance.task)}")
        for task in instance.tasks:
            if self.lane[task.id] not in task.run:
                able = ", ".join(task.run)
                raise BadInput(f"lane of {task.id}", self.lane[task.id], f"it can run on {able}")

    def as_dict(self) -> dict[str, Any]:
        return {"version": 1, **asdict(self), "order": list(self.order)}

    @classmethod
    def from_dict(cls, form: Mapping[str, Any]) -> Self:
        """The plan in its JSON form.

        Raises:
            BadInput: another version, or missing or unknown keys.
        """
        values = dict(form)
        if values.pop("version", None) != 1:
            raise BadInput("plan", form, "need version 1")
        try:
            values["order"] = tuple(values["order"])
            return cls(**values)
        except (TypeError, KeyError) as error:
            raise BadInput("plan", form, f"mend the keys, {error}") from error
