"""What became of one queued graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

Status = Literal["success", "error", "interrupted"]


@dataclass(frozen=True, slots=True)
class Event:
    """One message of ComfyUI about a run."""

    kind: str  # execution_start, executing, progress, executed, ...
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Failure:
    """The error that ended a run."""

    node: str
    node_type: str
    kind: str  # of exception, such as RuntimeError
    message: str

    def __str__(self) -> str:
        return f"{self.node_type} (node {self.node}): {self.message.strip()}"


@dataclass(frozen=True, slots=True)
class Result:
    """A run that has ended."""

    prompt_id: str
    status: Status
    outputs: Mapping[str, Mapping[str, Any]]  # node id -> what it shows
    executed: tuple[str, ...]  # nodes that computed, in order
    cached: tuple[str, ...]  # nodes whose results were still there
    seconds: float
    error: Failure | None = None
    node_seconds: Mapping[str, float] | None = None  # of the nodes that computed


def result_of(
    prompt_id: str,
    entry: Mapping[str, Any],
    events: list[tuple[float, Event]],
    seconds: float,
) -> Result:
    """From the history, which is the truth, and the messages, which tell who computed and when."""
    status, error = _ending(entry["status"])
    cached = [node for _, e in events if e.kind == "execution_cached" for node in e.data["nodes"]]
    times = _times(events)
    return Result(
        prompt_id=prompt_id,
        status=status,
        outputs=entry["outputs"],
        executed=tuple(times),
        cached=tuple(cached),
        seconds=seconds,
        error=error,
        node_seconds=times,
    )


def _ending(status: Mapping[str, Any]) -> tuple[Status, Failure | None]:
    for kind, data in reversed(status["messages"]):
        if kind == "execution_interrupted":
            return "interrupted", None
        if kind == "execution_error":
            return "error", Failure(
                str(data["node_id"]),
                data["node_type"],
                data["exception_type"],
                data["exception_message"],
            )
    return ("success" if status["status_str"] == "success" else "error"), None


def _times(events: list[tuple[float, Event]]) -> dict[str, float]:
    """Seconds from a node's turn to the next one's; a node run again keeps the sum."""
    turns = [(at, e.data["node"]) for at, e in events if e.kind == "executing"]
    last = events[-1][0] if events else 0.0
    times: dict[str, float] = {}
    for (at, node), (end, _) in pairwise([*turns, (last, None)]):
        if node is not None:
            times[node] = times.get(node, 0.0) + end - at
    return times
