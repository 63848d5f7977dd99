"""Plans run against a real worker process: where, when, how often, and what is shown of it."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest
from comfyui_tandem.engine.conditions import ConditionRequest, Photo
from comfyui_tandem.engine.errors import Unavailable
from comfyui_tandem.engine.offload import (
    Costs,
    Outcome,
    Progress,
    WorkerEntry,
    offload_payload,
    plan_conditions,
    run_lanes,
)
from comfyui_tandem.engine.offload.client import Answer, WorkerClient
from comfyui_tandem.engine.offload.outlook import Job
from comfyui_tandem.engine.offload.run import Run
from comfyui_tandem.engine.offload.trace import State
from comfyui_tandem.engine.wire.codecs import encode_photo
from comfyui_tandem.headless.worker import WorkerProcess

from .relay import Relay
from .runs import LONG_S, check_hints, condition, held_here, photo, run, slow_here

pytestmark = pytest.mark.quick


# --- all well


def meet(monkeypatch: pytest.MonkeyPatch, detector: str) -> None:
    """Here and on a worker, a detector's hint is made only while the other is at it too."""
    gate, ask = held_here(monkeypatch), WorkerClient.preprocess

    def asked(self: WorkerClient, request: ConditionRequest, given: Photo, **how: Any) -> Answer:
        if request.detector == detector:
            gate.go_on.set()
            assert gate.begun.wait(LONG_S)
        return ask(self, request, given, **how)

    monkeypatch.setattr(WorkerClient, "preprocess", asked)


def test_lanes_run_at_the_same_time_and_give_the_same_bits(
    entry: WorkerEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    meet(monkeypatch, "scribble")
    conditions = [
        condition("scribble", px=1024, where="this machine"),
        condition("scribble", px=1024, where="edge"),
        condition("canny", photo(1), photo(2), where="edge"),
        condition("tile", where="edge"),
    ]
    offload = plan_conditions(conditions, [entry], Costs())
    outcome = run(offload)
    check_hints(offload, outcome)
    assert [hint.lane for hint in outcome.hints[:2]] == ["local", "garage"]
    runs = {span.what: span for span in outcome.timeline.spans if span.kind == "run"}
    here, there = runs["0:scribble"], runs["1:scribble"]
    assert min(here.end_s, there.end_s) > max(here.start_s, there.start_s)
    assert {row.status for row in outcome.rows} == {"done"}
    assert outcome.warnings == ()
    assert all(row.actual_s > 0 and row.predicted_s > 0 for row in outcome.rows)
    assert outcome.timeline.makespan_s >= max(span.end_s - span.start_s for span in runs.values())


def test_one_photo_is_sent_once(entry: WorkerEntry, relay: Relay) -> None:
    names = ("canny", "scribble", "tile", "blur")
    conditions = [condition(name, photo(3), where="edge") for name in names]
    costs = Costs()
    offload = plan_conditions(conditions, [entry], costs)
    probes = relay.puts()
    check_hints(offload, run(offload, costs))
    assert relay.puts() == probes + 1
    again = plan_conditions(conditions, [entry], costs)
    assert again.instance.inputs[0].at == ("garage",)
    check_hints(again, run(again, costs))
    assert relay.puts() == probes + 1


def test_what_it_took_corrects_what_is_expected(entry: WorkerEntry) -> None:
    costs = Costs()
    conditions = [condition("tile", where="this machine"), condition("tile", where="edge")]
    fresh = plan_conditions(conditions, [entry], costs)
    took: list[tuple[float, ...]] = []
    for _ in range(6):
        outcome = run(replace(fresh, workers=(entry,)), costs)
        took.append(tuple(row.actual_s for row in outcome.rows))
    for n, (task, lane) in enumerate((("0:tile", "local"), ("1:tile", "garage"))):
        prior = fresh.priors[task][lane]
        ratios = [seconds[n] / prior for seconds in took]
        factor = costs.run_s(lane, "tile", 1.0)
        assert factor != 1.0
        assert 0.9 * min(1.0, *ratios) <= factor <= 1.1 * max(1.0, *ratios)  # seconds as told


def test_progress_tells_of_every_condition_where_it_is_and_ends_with_all_done(
    entry: WorkerEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_here(monkeypatch, 0.5)
    told: list[Progress] = []
    conditions = [
        condition("canny", where="this machine"),
        condition("tile", where="edge"),
        condition("blur", where="this machine"),
    ]
    offload = plan_conditions(conditions, [entry], Costs())
    run_lanes(offload, Costs(), report=told.append, cancelled=threading.Event())
    assert all(tuple(row.cond for row in news.rows) == offload.tasks for news in told)
    assert all([row.worker for row in news.rows] == [None, "garage", None] for news in told)
    done = [news.done for news in told]
    assert done == sorted(done) and done[-1] == 3
    states = [tuple(news.rows[n].state for n in (0, 2)) for news in told]
    assert {("running", "queued"), ("queued", "running")} & set(states), "one at a time here"
    assert all(row.seconds > 0 for row in told[-1].rows)
    assert all((row.state, row.seconds) != ("queued", 0) for row in told[-1].rows)


def test_a_request_is_first_sent_then_at_work_then_on_its_way_home(
    entry: WorkerEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def tell(self: Run, job: Job, state: State) -> None:
        seen.append(state)

    monkeypatch.setattr(Run, "tell", tell)
    offload = plan_conditions([condition("tile", photo(50), where="edge")], [entry], Costs())
    run(offload)
    assert seen == ["uploading", "running", "downloading"]


def test_nothing_asked_is_nothing_done() -> None:
    offload = plan_conditions([], [], Costs())
    assert run(offload) == Outcome((), run(offload).timeline, (), ())


def test_same_conditions_make_the_same_plan(garage: WorkerProcess) -> None:
    conditions = [condition(name) for name in ("canny", "scribble", "tile", "blur")]
    one = plan_conditions(conditions, [], Costs())
    two = plan_conditions(conditions, [], Costs())
    assert (one.instance, one.plan) == (two.instance, two.plan)


# --- places


def test_pinned_to_this_machine_no_worker_hears_anything(entry: WorkerEntry, relay: Relay) -> None:
    conditions = [condition("canny", where="this machine"), condition("tile", where="this machine")]
    offload = plan_conditions(conditions, [entry], Costs())
    check_hints(offload, run(offload))
    assert (relay.connections, bytes(relay.up)) == (0, b"")


def test_a_photo_pinned_to_this_machine_stays_while_others_travel(
    entry: WorkerEntry, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while this machine is slow and the worker idle, which invites helping out."""
    secret, open_ = photo(7), photo(8)
    slow_here(monkeypatch, 0.5)
    conditions = [
        condition("canny", secret, where="this machine"),
        condition("tile", open_, where="edge"),
        condition("blur", open_),
    ]
    offload = plan_conditions(conditions, [entry], Costs())
    check_hints(offload, run(offload))
    sent = bytes(relay.up)
    for kind in ("webp", "raw"):
        assert encode_photo(secret.pixels, kind)[-2000:] not in sent
    assert any(encode_photo(open_.pixels, kind)[-2000:] in sent for kind in ("webp", "raw"))


def test_pinned_to_the_edge_without_a_worker_is_one_clear_error(
    entry: WorkerEntry, relay: Relay
) -> None:
    conditions = [condition("canny"), condition("tile", where="edge")]
    with pytest.raises(Unavailable, match=r"1:tile.*no worker in use"):
        plan_conditions(conditions, [], Costs())
    relay.cut()
    with pytest.raises(Unavailable, match=r"1:tile.*garage.*refused"):
        plan_conditions(conditions, [entry], Costs())


def test_pinned_to_the_edge_and_the_worker_lost_is_one_clear_error(
    entry: WorkerEntry, relay: Relay
) -> None:
    conditions = [condition("canny"), condition("tile", where="edge")]
    offload = plan_conditions(conditions, [entry], Costs())
    relay.cut()
    with pytest.raises(Unavailable, match=r"worker for 1:tile.*garage"):
        run(offload)


def test_a_dead_worker_is_noted_and_left_out(entry: WorkerEntry, relay: Relay) -> None:
    relay.cut()
    offload = plan_conditions([condition("canny")], [entry], Costs())
    assert len(offload.notes) == 1
    assert "garage" in offload.notes[0]
    assert offload.workers == ()
    check_hints(offload, run(offload))


# --- what is shown


def test_the_payload_says_what_was_planned_and_done(entry: WorkerEntry) -> None:
    conditions = [condition("canny"), condition("tile", where="edge")]
    offload = plan_conditions(conditions, [entry], Costs())
    before = offload_payload(offload, None)
    assert before["v"] == 1
    assert before["actual"] is None
    assert before["predicted"]["makespan_s"] == offload.plan.makespan_s
    assert [row["status"] for row in before["rows"]] == ["planned", "planned"]
    outcome = run(offload)
    after = offload_payload(offload, outcome)
    assert after["predicted"] == before["predicted"]
    assert "is home last" in before["decides"]
    [link] = before["links"]
    assert link["worker"] == "garage" and 0 < link["spread"] < 1
    assert min(link["up_bytes_per_s"], link["down_bytes_per_s"]) > 0
    assert after["actual"]["makespan_s"] == outcome.timeline.makespan_s
    assert [row["cond"] for row in after["rows"]] == ["0:canny", "1:tile"]
    assert after["rows"][1]["worker"] == "garage"
    whats = {span["what"] for span in after["actual"]["spans"]}
    assert whats <= {"0:canny", "1:tile", "photo 1"}


def test_summaries_say_what_ran_where(entry: WorkerEntry) -> None:
    conditions = [condition("canny", where="this machine"), condition("tile", where="edge")]
    offload = plan_conditions(conditions, [entry], Costs())
    assert "0:canny: local" in offload.summary
    assert "1:tile: garage" in offload.summary
    summary = run(offload).summary
    assert "0:canny: this machine, " in summary
    assert "1:tile: garage, " in summary
