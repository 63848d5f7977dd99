"""What the editor, `/history` and the report get of a plan and its run: plain JSON values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .instance import LOCAL
from .offload import Offload
from .payload_form import (
    MOST_LETTERS,
    MOST_ROWS,
    MOST_SPANS,
    BaselineForm,
    LinkForm,
    PlanForm,
    ProgressForm,
    RowForm,
    SpanForm,
    StandingForm,
    TimelineForm,
)
from .timeline import Timeline
from .trace import Outcome, Progress


def offload_payload(offload: Offload, outcome: Outcome | None) -> dict[str, Any]:
    """The payload of the Gantt chart, in PlanForm; `outcome` None: planned, not run yet."""
    names = _names(offload)
    plan = offload.plan
    form = PlanForm(
        v=1,
        predicted=_timeline(offload.timeline(), names),
        actual=_timeline(outcome.timeline, names) if outcome else None,
        baseline=_baseline(offload),
        method=plan.method,
        bandwidth="shares" if offload.shares else "full",
        shares=dict(list(offload.shares.items())[:MOST_ROWS]),
        lower_bound_s=plan.lower_bound_s,
        rows=(_done(outcome) if outcome else _planned(offload))[:MOST_ROWS],
        decides=_cut(offload.decides),
        links=_links(offload)[:MOST_ROWS],
        rough=_lines(offload.rough),
        notes=_lines(offload.notes),
        warnings=_lines(outcome.warnings if outcome else ()),
    )
    return form.model_dump()


def progress_payload(progress: Progress) -> dict[str, Any]:
    """The payload of `tandem.progress`, in ProgressForm."""
    rows = [
        StandingForm(cond=_cut(row.cond), worker=row.worker, state=row.state, seconds=row.seconds)
        for row in progress.rows[:MOST_ROWS]
    ]
    total = len(progress.rows)
    form = ProgressForm(v=1, seconds=progress.seconds, done=progress.done, total=total, rows=rows)
    return form.model_dump()


def _baseline(offload: Offload) -> BaselineForm:
    plan, tasks = offload.plan, offload.instance.tasks
    here = all(LOCAL in task.run for task in tasks)
    away = all(set(task.run) - {LOCAL} for task in tasks)
    return BaselineForm(
        all_local_s=plan.all_local_s if here else None,
        all_edge_s=plan.all_edge_s if away else None,
    )


def _links(offload: Offload) -> list[LinkForm]:
    return [
        LinkForm(
            worker=one.id,
            up_bytes_per_s=one.up_bytes_per_s,
            down_bytes_per_s=one.down_bytes_per_s,
            latency_s=one.latency_s,
            spread=offload.spreads[one.id],
        )
        for one in offload.instance.workers
    ]


def _names(offload: Offload) -> Mapping[str, str]:
    """Photos have long names that say nothing: count them instead."""
    return {item.id: f"photo {n}" for n, item in enumerate(offload.instance.inputs, 1)}


def _timeline(timeline: Timeline, names: Mapping[str, str]) -> TimelineForm:
    spans = [
        SpanForm(
            what=_cut(names.get(span.what, span.what)),
            lane=span.lane,
            kind=span.kind,
            start_s=span.start_s,
            end_s=span.end_s,
        )
        for span in timeline.spans[:MOST_SPANS]
    ]
    return TimelineForm(version=1, makespan_s=timeline.makespan_s, spans=spans)


def _done(outcome: Outcome) -> list[RowForm]:
    return [
        RowForm(
            cond=_cut(row.cond),
            worker=row.worker,
            status=row.status,
            note=_cut(row.note) if row.note else None,
            predicted_s=row.predicted_s,
            actual_s=row.actual_s,
        )
        for row in outcome.rows
    ]


def _planned(offload: Offload) -> list[RowForm]:
    return [_planned_row(offload, task) for task in offload.tasks]


def _planned_row(offload: Offload, task: str) -> RowForm:
    ready = offload.ready.get(task)
    lane = ready.lane if ready else offload.plan.lane[task]
    return RowForm(
        cond=_cut(task),
        worker=None if lane == LOCAL else lane,
        status="cached" if ready else "planned",
        note=None,
        predicted_s=0.0 if ready else offload.computing_s(task, lane),
        actual_s=None,
    )


def _lines(texts: Iterable[str]) -> list[str]:
    return [_cut(text) for text in texts][:MOST_ROWS]


def _cut(text: str) -> str:
    return text if len(text) <= MOST_LETTERS else text[: MOST_LETTERS - 3] + "..."
