"""What a run did: the form in which lanes report it and nodes, reports and charts show it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..conditions import Hint
from .timeline import Timeline

Status = Literal["done", "cached", "moved", "failed"]
State = Literal["queued", "uploading", "running", "downloading", "done"]


@dataclass(frozen=True, slots=True)
class Standing:
    """How far one condition is while the lanes run."""

    cond: str
    worker: str | None  # None: this machine
    state: State  # queued: on a lane's list, or before the worker's door
    seconds: float  # since a lane took it; of one that is done, all that it took


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is, in the order of the conditions."""

    seconds: float  # since it began
    rows: tuple[Standing, ...]

    @property
    def done(self) -> int:
        return sum(row.state == "done" for row in self.rows)


@dataclass(frozen=True, slots=True)
class Row:
    """How one condition went.

    moved: its worker was lost or late, another lane finished it. cached: its hint was made in an
    earlier run, by `worker`.
    """

    cond: str
    worker: str | None  # None: this machine
    status: Status
    note: str | None
    predicted_s: float  # of computing and loading on the lane that did it, without transfers
    actual_s: float  # of the same

    @property
    def line(self) -> str:
        """The row in words."""
        place = self.worker or "this machine"
        if self.status == "cached":
            return f"{self.cond}: made before, on {place}"
        moved = ", moved" if self.status == "moved" else ""
        times = f"{self.actual_s:.2f} s (predicted {self.predicted_s:.2f} s)"
        return f"{self.cond}: {place}, {times}{moved}"


@dataclass(frozen=True)
class Outcome:
    """Hints in the order of the conditions, and how they came about."""

    hints: tuple[Hint, ...]
    timeline: Timeline
    rows: tuple[Row, ...]
    warnings: tuple[str, ...]

    @property
    def summary(self) -> str:
        """What ran where and for how long, a line each; warnings last.

        A Markdown list, as the editor's text preview reads Markdown and would join plain lines.
        """
        told = [f"- {line}" for line in (*(row.line for row in self.rows), *self.warnings)]
        return "\n".join([f"hints in {self.timeline.makespan_s:.2f} s", *told])
