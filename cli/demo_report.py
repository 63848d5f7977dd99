"""The demo's report: what ran where, and how long it took against what was predicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..headless.graph import Graph, nodes_of, the_node
from ..headless.result import Result
from .demo_fast import LOADER, Sampled, beside

TINY = "demo"
KNOWN = ": tiny, 128 x 128 pixels, knows a few dozen words (demo_models/README.md)"


@dataclass(frozen=True, slots=True)
class Subtask:
    """One condition: where it was planned, where it ran, and the seconds of its detector."""

    condition: str
    planned: str
    ran: str
    status: str
    note: str | None
    predicted_s: float | None
    actual_s: float | None


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that the demo has to say about its run."""

    prompt: str
    photo: str
    model: str
    machine: Mapping[str, Any]
    subtasks: tuple[Subtask, ...]
    scales: tuple[Mapping[str, Any], ...]
    steps: int
    hints_predicted_s: float | None
    hints_actual_s: float | None
    baseline: Mapping[str, Any]
    warnings: tuple[str, ...]
    plan: Mapping[str, Any]  # what the chart draws
    node_seconds: Mapping[str, float]
    run_s: float
    total_s: float
    files: Mapping[str, Any]
    runs: tuple[Sampled, ...] = ()  # to compare, if there were two

    def as_dict(self) -> dict[str, Any]:
        return {"version": 1, **asdict(self)}


def report_of(
    graph: Graph,
    result: Result,
    *,
    prompt: str,
    photo: str,
    machine: Mapping[str, Any],
    total_s: float,
    files: Mapping[str, Any],
    pinned: tuple[str, str] | None = None,
    warnings: tuple[str, ...] = (),
    runs: tuple[Sampled, ...] = (),
) -> Report:
    """From what the nodes showed; a figure that they did not show is None.

    Args:
        pinned: the condition that had no choice of lane, if one had none, and why.
        warnings: what else has to be said about the run.
        runs: this one and another, to show side by side.
    """
    [plan] = result.outputs[the_node(graph, "TandemRunConditions")]["tandem_plan"]
    applied = result.outputs[the_node(graph, "TandemApplyConditions")]["tandem_scales"]
    predicted, actual = plan["predicted"], plan["actual"] or {}
    return Report(
        prompt=prompt,
        photo=photo,
        model=graph[the_node(graph, LOADER)]["inputs"]["model"],
        machine=machine,
        subtasks=_subtasks(plan["rows"], predicted, pinned),
        scales=tuple(row for form in applied for row in form["rows"]),
        steps=sum(graph[node]["inputs"]["steps"] for node in nodes_of(graph, "KSampler")),
        hints_predicted_s=predicted.get("makespan_s"),
        hints_actual_s=actual.get("makespan_s"),
        baseline=plan["baseline"],
        warnings=(*warnings, *plan["notes"], *plan["warnings"]),
        plan=plan,
        node_seconds=_by_class(graph, result.node_seconds or {}),
        run_s=result.seconds,
        total_s=total_s,
        files=files,
        runs=runs,
    )


def _subtasks(
    rows: Sequence[Mapping[str, Any]], predicted: Mapping[str, Any], pinned: tuple[str, str] | None
) -> tuple[Subtask, ...]:
    tasks = [_subtask(row, predicted) for row in rows]
    if pinned:
        name, why = pinned
        tasks = [_noted(task, why) if task.condition == name else task for task in tasks]
    return tuple(tasks)


def _noted(task: Subtask, why: str) -> Subtask:
    return replace(task, note=f"{why}; {task.note}" if task.note else why)


def _subtask(row: Mapping[str, Any], predicted: Mapping[str, Any]) -> Subtask:
    task = row["cond"]
    planned = [span["lane"] for span in _runs(predicted, task)]
    return Subtask(
        condition=task,
        planned=_spoken(planned[0] if planned else None),
        ran=_spoken(row["worker"]),
        status=row["status"],
        note=row["note"],
        predicted_s=row["predicted_s"],
        actual_s=row["actual_s"],
    )


def _spoken(lane: str | None) -> str:
    return "this machine" if lane in (None, "local") else f"worker {lane}"


def _runs(timeline: Mapping[str, Any], task: str) -> list[Mapping[str, Any]]:
    spans = timeline.get("spans", ())
    return [span for span in spans if span["what"] == task and span["kind"] == "run"]


def _by_class(graph: Graph, seconds: Mapping[str, float]) -> dict[str, float]:
    named: dict[str, float] = {}
    for node, took in seconds.items():
        kind = graph[node]["class_type"]
        named[kind] = named.get(kind, 0.0) + took
    return dict(sorted(named.items(), key=lambda entry: -entry[1]))


def report_text(report: Report) -> str:
    """The report for reading."""
    lines = [
        "Tandem demo",
        "",
        f"prompt    {report.prompt}",
        f"photo     {report.photo}",
        f"model     {report.model}{KNOWN if report.model == TINY else ''}",
        *(f"{key:<9} {value}" for key, value in report.machine.items()),
        "",
        f"{'condition':<22}{'ran on':<16}{'predicted':>11}{'actual':>11}  note",
    ]
    for task in report.subtasks:
        note = task.note or ("" if task.status == "done" else task.status)
        times = f"{_s(task.predicted_s):>11}{_s(task.actual_s):>11}"
        lines.append(f"{task.condition:<22}{task.ran:<16}{times}  {note}".rstrip())
    whole = f"{_s(report.hints_predicted_s):>11}{_s(report.hints_actual_s):>11}"
    lines += [f"{'all hints':<38}{whole}", *_baselines(report.baseline), *report.warnings, ""]
    lines += [*_scales(report), ""]
    lines += [f"{'node':<26}{'seconds':>9}"]
    lines += [f"{kind:<26}{took:>9.2f}" for kind, took in report.node_seconds.items()]
    if report.runs:
        lines += ["", *beside(report.runs)]
    lines += ["", f"steps     {report.steps}", f"run       {report.run_s:.1f} s"]
    lines += [f"total     {report.total_s:.1f} s, with starting ComfyUI and the worker"]
    return "\n".join(lines) + "\n"


def _baselines(baseline: Mapping[str, Any]) -> list[str]:
    spoken = {"all_local_s": "all on this machine", "all_edge_s": "all on the edge"}
    return [
        f"{spoken.get(key, key):<38}{_s(value):>11}"
        for key, value in baseline.items()
        if value is not None
    ]


def _scales(report: Report) -> list[str]:
    rows = [
        f"{row['cond']:<22}"
        + (f"left out: {row['reason']}" if row["pruned"] else f"scale {row['scale']:.2f}")
        for row in report.scales
    ]
    pruned = sum(1 for row in report.scales if row["pruned"])
    return [*rows, f"{pruned} of {len(report.scales)} conditions pruned"]


def _s(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.3f} s"
