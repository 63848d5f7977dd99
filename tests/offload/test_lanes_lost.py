"""Plans run while workers, detectors or the caller fail: nothing is lost, nothing stays."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from comfyui_tandem.engine.conditions import DETECTORS, Condition, ConditionRequest, Photo
from comfyui_tandem.engine.errors import BadInput, Unavailable
from comfyui_tandem.engine.offload import (
    Cancelled,
    Costs,
    Offload,
    Outcome,
    Progress,
    WorkerEntry,
    able,
    lanes,
    plan_conditions,
    run_lanes,
)
from comfyui_tandem.engine.offload.edge_lane import LEAST_DEADLINE_S
from comfyui_tandem.headless.worker import WorkerProcess

from .relay import BROKEN, GARBAGE, PAGE, QUEUE_FULL, Relay
from .runs import (
    LONG_S,
    at_edge,
    check_hints,
    condition,
    held_here,
    nobody_is_late,
    photo,
    run,
    threads_end,
)

pytestmark = pytest.mark.quick


# --- faults


def lost(offload: Offload, outcome: Outcome) -> None:
    """Everything is here, what the worker owed came from this machine, one warning says so."""
    check_hints(offload, outcome)
    assert {(row.status, row.worker) for row in outcome.rows} == {("moved", None)}
    assert all("garage" in (row.note or "") for row in outcome.rows)
    assert len(outcome.warnings) == 1
    assert "garage" in outcome.warnings[0]


FOUR = ("canny", "scribble", "tile", "blur")


def planned_at_edge(entry: WorkerEntry, seed: int) -> Offload:
    offload = plan_conditions([condition(name, photo(seed)) for name in FOUR], [entry], Costs())
    return at_edge(offload)


def test_a_worker_that_died_since_the_plan(entry: WorkerEntry, relay: Relay) -> None:
    offload = planned_at_edge(entry, 20)
    relay.cut()
    lost(offload, run(offload))


@pytest.mark.parametrize("lie", [GARBAGE, PAGE, BROKEN], ids=["garbage", "page", "broken"])
def test_a_worker_that_lies(entry: WorkerEntry, relay: Relay, lie: bytes) -> None:
    offload = planned_at_edge(entry, 21)
    relay.lie = lie
    lost(offload, run(offload))


def test_a_full_worker(entry: WorkerEntry, relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody_is_late(monkeypatch)
    offload = planned_at_edge(entry, 22)
    relay.lie = QUEUE_FULL
    outcome = run(offload)
    lost(offload, outcome)
    assert "queue_full" in outcome.warnings[0]


def test_a_worker_that_falls_silent(entry: WorkerEntry, relay: Relay) -> None:
    offload = planned_at_edge(entry, 23)
    relay.stalled.set()
    began = time.monotonic()
    outcome = run(offload)
    assert time.monotonic() - began < LEAST_DEADLINE_S / 2  # long before its requests would end
    lost(offload, outcome)
    assert "slower than planned" in outcome.warnings[0]


def test_a_worker_that_lost_its_photos_gets_them_again(entry: WorkerEntry, relay: Relay) -> None:
    offload = plan_conditions([condition("canny", photo(24), where="edge")], [entry], Costs())
    held = tuple(replace(item, at=("garage",)) for item in offload.instance.inputs)
    offload = replace(offload, instance=replace(offload.instance, inputs=held))
    probes = relay.puts()
    check_hints(offload, run(offload))
    assert relay.puts() == probes + 1


@pytest.mark.parametrize("after_s", [0.0, 0.05, 0.15, 0.3])
def test_a_worker_killed_in_the_middle(tmp_path: Path, after_s: float) -> None:
    with WorkerProcess.start("garage", log=tmp_path / "log") as worker:
        worker.wait_ready()
        conditions = [condition("scribble", photo(n), px=640) for n in range(4)]
        offload = at_edge(plan_conditions(conditions, [worker.entry], Costs()))
        killer = threading.Timer(after_s, worker.child.kill)
        killer.start()
        outcome = run(offload)
        killer.join()
    check_hints(offload, outcome)
    assert len(outcome.warnings) <= 1
    for row in outcome.rows:
        assert row.worker == "garage" or row.worker is None


def test_what_fails_here_runs_on_the_worker(
    entry: WorkerEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(request: ConditionRequest, given: Photo) -> np.ndarray:
        raise Unavailable("package for canny", "cv2", "install it")

    monkeypatch.setattr(lanes, "detect", broken)
    offload = plan_conditions([condition("canny"), condition("blur")], [entry], Costs())
    offload = replace(
        offload, plan=replace(offload.plan, lane=dict.fromkeys(offload.plan.lane, "local"))
    )
    outcome = run(offload)
    check_hints(offload, outcome)
    assert {hint.lane for hint in outcome.hints} == {"garage"}
    assert len(outcome.warnings) == 1

    alone = plan_conditions([condition("canny")], [], Costs())
    with pytest.raises(Unavailable, match="package for canny"):
        run(alone)


def test_what_cannot_run_here_is_planned_for_the_worker_or_refused_at_once(
    entry: WorkerEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where OpenCV is missing: the worker is asked, and the reason is told."""
    gone = Unavailable("package for canny", "cv2", "install it")
    monkeypatch.setattr(able, "obstacle", lambda name: gone if name == "canny" else None)
    offload = plan_conditions([condition("canny"), condition("tile")], [entry], Costs())
    assert set(offload.instance.task["0:canny"].run) == {"garage"}
    assert offload.notes == (f"0:canny cannot run here: {gone}",)
    for where in ("auto", "this machine"):
        with pytest.raises(Unavailable, match="package for canny"):
            plan_conditions([condition("canny", where=where)], [], Costs())


def test_a_network_without_weights_is_refused_before_anything_runs() -> None:
    network = next(name for name, found in DETECTORS.items() if found.is_network)
    with pytest.raises(Unavailable, match=network):
        plan_conditions([condition(network)], [], Costs())


def test_a_wrong_parameter_is_the_users_to_mend(entry: WorkerEntry) -> None:
    request = ConditionRequest("canny", params={"low": 9999})
    conditions = [Condition(request, (photo(40),))]
    with pytest.raises(BadInput, match="low"):
        run(plan_conditions(conditions, [], Costs()))
    offload = plan_conditions(conditions, [entry], Costs())
    with pytest.raises(BadInput, match="low"):
        run(at_edge(offload))
    with pytest.raises(BadInput, match="low"):  # not: "no worker can"
        run(replace(offload, plan=replace(offload.plan, lane={"0:canny": "local"})))


# --- leaving


def test_cancel_while_a_detector_runs_here(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = held_here(monkeypatch)
    offload = plan_conditions([condition("canny"), condition("tile")], [], Costs())
    _cancel_when(gate.begun.is_set, offload)
    assert len(gate.asked) == 1 and not gate.go_on.is_set()
    gate.go_on.set()
    assert threads_end()
    assert len(gate.asked) == 1  # the one that ran has ended, none has begun


def test_cancel_while_a_worker_is_silent(entry: WorkerEntry, relay: Relay) -> None:
    offload = plan_conditions([condition("canny", photo(30), where="edge")], [entry], Costs())
    relay.stalled.set()
    before = len(relay.up)
    _cancel_when(lambda: len(relay.up) > before, offload)
    assert threads_end()  # the request was given up, not only no longer waited for


def test_a_worker_that_was_stopped_at_work_is_planned_with_loading_again(
    entry: WorkerEntry,
) -> None:
    """It stops a detector by ending the process, and the networks there end with it."""
    costs, cancelled = Costs(), threading.Event()
    asked = condition("scribble", photo(31), where="edge", px=3072)
    offload = plan_conditions([asked], [entry], costs)
    lane = ("garage", offload.starts["garage"], "softedge_hed")
    costs.observe_load(*lane, 0.3)
    assert costs.load_s(*lane) == 0

    def report(news: Progress) -> None:
        if news.rows[0].state == "running":
            cancelled.set()

    with pytest.raises(Cancelled):
        run_lanes(offload, costs, report=report, cancelled=cancelled)
    assert threads_end()
    assert costs.load_s(*lane) == 0.3


def _cancel_when(is_time: Callable[[], bool], offload: Offload) -> None:
    """The run must end by that, long before anything in it gives up by itself."""
    cancelled, began = threading.Event(), time.monotonic()

    def cancel() -> None:
        while not is_time() and time.monotonic() < began + LONG_S / 2:
            time.sleep(0.01)
        cancelled.set()

    canceller = threading.Thread(target=cancel)
    canceller.start()
    with pytest.raises(Cancelled):
        run_lanes(offload, Costs(), report=lambda _: None, cancelled=cancelled)
    canceller.join()
    assert is_time() and time.monotonic() < began + LONG_S / 2


def test_an_error_of_the_caller_ends_the_run(entry: WorkerEntry) -> None:
    def report(news: Progress) -> None:
        raise KeyError(news.done)

    offload = plan_conditions([condition("canny"), condition("tile")], [entry], Costs())
    with pytest.raises(KeyError):
        run_lanes(offload, Costs(), report=report, cancelled=threading.Event())


def test_no_thread_stays(entry: WorkerEntry, relay: Relay) -> None:
    conditions = [condition("canny"), condition("tile", where="edge")]
    offload = plan_conditions(conditions, [entry], Costs())
    for _ in range(5):
        run(offload)
    assert threads_end()
