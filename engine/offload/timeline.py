"""When what happens where: the form of a prediction, of a run's trace and of the chart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

from ..errors import BadInput

Kind = Literal["up", "run", "down", "load", "lost", "copy"]


@dataclass(frozen=True, slots=True)
class Span:
    """One stretch of work: `what` is a task or an input, `lane` "local" or a worker.

    up, down: the link is occupied (latency comes on top). lost: a request that failed.
    copy: a second run of a task whose other copy came home first.
    """

    what: str
    lane: str
    kind: Kind
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Timeline:
    """All spans, by start; `makespan_s`: when the last wanted hint is home."""

    makespan_s: float
    spans: tuple[Span, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return {"version": 1, "makespan_s": self.makespan_s, "spans": [*map(asdict, self.spans)]}

    @classmethod
    def from_dict(cls, form: Mapping[str, Any]) -> Self:
        """The timeline in its JSON form.

        Raises:
            BadInput: another version, or missing or unknown keys.
        """
        if form.get("version") != 1:
            raise BadInput("timeline", form, "need version 1")
        try:
            return cls(form["makespan_s"], tuple(Span(**span) for span in form["spans"]))
        except (TypeError, KeyError) as error:
            raise BadInput("timeline", form, f"mend the keys, {error}") from error


def what_decides(timeline: Timeline) -> str:
    """In words: what ends last, and which lane or way of a link is busy for the longest time."""
    ends = [span for span in timeline.spans if span.kind in ("run", "down")]
    if not ends or timeline.makespan_s <= 0:
        return ""
    last = max(ends, key=lambda span: span.end_s)
    busy: dict[str, float] = {}
    for span in timeline.spans:
        if span.kind in ("run", "up", "down"):
            what = {"run": "", "up": "uplink to ", "down": "downlink from "}[span.kind] + span.lane
            busy[what] = busy.get(what, 0.0) + span.end_s - span.start_s
    most = max(busy, key=lambda what: busy[what])
    share = 100 * busy[most] / timeline.makespan_s
    return f"{last.what} is home last; {most} is busy for {share:.0f} % of the time"
