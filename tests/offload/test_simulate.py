"""Rules of the model, each by an instance small enough to reckon by hand."""

from __future__ import annotations

import pytest
from comfyui_tandem.engine.offload.instance import Input, Instance, Lane, Task, Worker
from comfyui_tandem.engine.offload.simulate import run_order
from comfyui_tandem.engine.offload.timeline import Timeline

pytestmark = pytest.mark.quick


def spans(timeline: Timeline) -> dict[tuple[str, str, str], tuple[float, float]]:
    return {(s.what, s.lane, s.kind): (s.start_s, s.end_s) for s in timeline.spans}


def test_upload_run_and_download_of_the_worked_example() -> None:
    instance = Instance(
        (Task("depth", ("photo",), {"local": 2.2, "w0": 0.31}, 90_000),),
        (Input("photo", 453_000, prepare_s=0.008),),
        workers=(Worker("w0", 1.25e7, 1.25e7, latency_s=0.005, link="lan"),),
        duplex={"lan": "full"},
    )
    timeline = run_order(instance, {"depth": "w0"}, ["depth"], {})
    assert timeline.makespan_s == pytest.approx(0.37144, abs=1e-12)
    assert spans(timeline) == {
        ("photo", "w0", "up"): pytest.approx((0.008, 0.04424)),
        ("depth", "w0", "run"): pytest.approx((0.04924, 0.35924)),
        ("depth", "w0", "down"): pytest.approx((0.35924, 0.36644)),
    }


def test_a_shared_photo_is_sent_once_a_worker_and_not_where_it_is() -> None:
    tasks = tuple(Task(f"t{n}", ("photo",), {"w0": 1.0, "w1": 1.0}, 0.0) for n in range(4))
    workers = (Worker("w0", 100.0, 100.0), Worker("w1", 100.0, 100.0))
    lane = {"t0": "w0", "t1": "w0", "t2": "w1", "t3": "w1"}
    order = ["t0", "t1", "t2", "t3"]
    sent = Instance(tasks, (Input("photo", 50.0),), workers=workers)
    held = Instance(tasks, (Input("photo", 50.0, at=("w0",)),), workers=workers)
    ups = [s for s in run_order(sent, lane, order, {}).spans if s.kind == "up"]
    assert [(s.lane, s.end_s) for s in ups] == [("w0", 0.5), ("w1", 0.5)]
    ups = [s for s in run_order(held, lane, order, {}).spans if s.kind == "up"]
    assert [s.lane for s in ups] == ["w1"]


def test_workers_behind_one_link_share_it() -> None:
    tasks = tuple(Task(f"t{n}", ("photo",), {f"w{n}": 0.0}, 0.0) for n in range(2))
    workers = tuple(Worker(f"w{n}", 100.0, 100.0, link="lan") for n in range(2))
    instance = Instance(tasks, (Input("photo", 50.0),), workers=workers)
    timeline = run_order(instance, {"t0": "w0", "t1": "w1"}, ["t1", "t0"], {})
    assert spans(timeline)["photo", "w1", "up"] == (0.0, 0.5)
    assert spans(timeline)["photo", "w0", "up"] == (0.5, 1.0)


@pytest.mark.parametrize(("duplex", "second_up"), [("full", (1.0, 2.0)), ("half", (1.0, 2.0))])
def test_half_duplex_makes_up_and_down_take_turns(
    duplex: str, second_up: tuple[float, float]
) -> None:
    tasks = tuple(Task(f"t{n}", (f"p{n}",), {"w0": 0.5}, 100.0) for n in range(2))
    photos = (Input("p0", 100.0), Input("p1", 100.0))
    instance = Instance(tasks, photos, Lane(), (Worker("w0", 100.0, 100.0),), {"w0": duplex})
    timeline = run_order(instance, {"t0": "w0", "t1": "w0"}, ["t0", "t1"], {})
    assert spans(timeline)["p1", "w0", "up"] == second_up
    first_down = spans(timeline)["t0", "w0", "down"]
    assert first_down == ((1.5, 2.5) if duplex == "full" else (2.0, 3.0))


def test_a_chain_travels_home_and_out_again_only_between_machines() -> None:
    tasks = (
        Task("first", (), {"w0": 1.0, "w1": 1.0}, 100.0, wanted=False),
        Task("second", ("first",), {"local": 1.0, "w0": 1.0, "w1": 1.0}, 0.0),
    )
    workers = (Worker("w0", 100.0, 100.0), Worker("w1", 50.0, 100.0))
    instance = Instance(tasks, workers=workers)
    same = run_order(instance, {"first": "w0", "second": "w0"}, ["first", "second"], {})
    assert same.makespan_s == 2.0
    assert [s.kind for s in same.spans if s.what == "first"] == ["run"]
    home = run_order(instance, {"first": "w0", "second": "local"}, ["first", "second"], {})
    assert home.makespan_s == 3.0
    across = run_order(instance, {"first": "w0", "second": "w1"}, ["first", "second"], {})
    assert spans(across)["first", "w1", "up"] == (2.0, 4.0)
    assert across.makespan_s == 5.0


def test_downloads_that_others_wait_for_go_first_the_rest_as_they_finish() -> None:
    tasks = (
        Task("a", (), {"w0": 1.0}, 100.0),
        Task("b", (), {"w0": 1.1}, 100.0),
        Task("c", (), {"w0": 1.2}, 100.0),
        Task("d", ("c",), {"local": 0.0}),
    )
    instance = Instance(tasks, workers=(Worker("w0", 100.0, 100.0, slots=0),))
    lane = {"a": "w0", "b": "w0", "c": "w0", "d": "local"}
    downs = [
        s.what
        for s in run_order(instance, lane, ["b", "a", "c", "d"], {}).spans
        if s.kind == "down"
    ]
    assert downs == ["a", "c", "b"]


def test_slots_and_readiness() -> None:
    tasks = tuple(Task(f"t{n}", (), {"local": 1.0}) for n in range(4))
    lane, order = dict.fromkeys(["t0", "t1", "t2", "t3"], "local"), ["t0", "t1", "t2", "t3"]
    for slots, expected in ((1, 4.5), (2, 2.5), (3, 2.5), (0, 1.5)):
        instance = Instance(tasks, local=Lane(slots, ready_s=0.5))
        assert run_order(instance, lane, order, {}).makespan_s == expected


def test_actual_times_replace_predicted_ones() -> None:
    instance = Instance((Task("a", (), {"local": 1.0}),))
    assert run_order(instance, {"a": "local"}, ["a"], {("a", "local"): 3.0}).makespan_s == 3.0


def test_nothing_to_do_takes_no_time() -> None:
    assert run_order(Instance(()), {}, [], {}) == Timeline(0.0, ())
