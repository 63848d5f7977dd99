"""Hints of earlier runs: found by content, within a limit of memory, and never run again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from comfyui_tandem.engine.conditions import (
    Condition,
    ConditionRequest,
    Models,
    Photo,
    detect,
    models,
    use_models,
)
from comfyui_tandem.engine.offload import (
    LOCAL,
    Cancelled,
    Costs,
    KeptHints,
    Offload,
    Outcome,
    WorkerEntry,
    lanes,
    offload_payload,
    plan_conditions,
    run_lanes,
)
from comfyui_tandem.engine.offload.kept import Kept
from comfyui_tandem.headless.worker import WorkerProcess

from .relay import Relay
from .runs import held_here, wait_until

pytestmark = pytest.mark.quick
HERE = {LOCAL: ""}


def photo(seed: int = 0) -> Photo:
    return Photo(np.random.default_rng(seed).integers(0, 256, (96, 64, 3), dtype=np.uint8))


def condition(detector: str = "canny", seed: int = 0, **request: object) -> Condition:
    asked = ConditionRequest(detector, **{"resolution": 64, **request})  # pyright: ignore
    return Condition(asked, (photo(seed),))


def hint(lane: str = LOCAL, start: str = "", size: int = 64) -> Kept:
    return Kept((np.zeros((size, size), np.uint8),), lane, start, 0.1)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Detectors that ran on this machine."""
    ran: list[str] = []

    def counted(request: ConditionRequest, given: Photo) -> np.ndarray:
        ran.append(request.detector)
        return detect(request, given)

    monkeypatch.setattr(lanes, "detect", counted)
    return ran


def go(offload: Offload, kept: KeptHints, costs: Costs | None = None) -> Outcome:
    never = threading.Event()
    return run_lanes(offload, costs or Costs(), kept, report=lambda _: None, cancelled=never)


# --- what a hint is known by


def test_strength_times_and_masks_change_no_hint() -> None:
    kept, made = KeptHints(), hint()
    kept.keep(condition(), made)
    again = replace(condition(strength=0.3, start=0.2, end=0.7), masks=(np.ones((8, 8), "f4"),))
    assert kept.find(again, HERE) is made
    assert kept.find(condition(params={"low": 100}), HERE) is made, "its default"


@pytest.mark.parametrize(
    "other",
    [
        condition("scribble"),
        condition(seed=1),
        condition(resolution=128),
        condition(params={"low": 50}),
        Condition(ConditionRequest("canny", 64), (photo(), photo())),
    ],
    ids=["detector", "photo", "resolution", "parameter", "batch"],
)
def test_everything_else_does(other: Condition) -> None:
    kept = KeptHints()
    kept.keep(condition(), hint())
    assert kept.find(other, HERE) is None


def test_a_photo_is_known_by_its_pixels_not_its_object() -> None:
    kept = KeptHints()
    kept.keep(condition(), hint())
    assert kept.find(condition(), HERE) is not None
    assert condition().photos[0] is not condition().photos[0]


def test_a_pin_to_this_machine_takes_nothing_from_a_worker() -> None:
    kept = KeptHints()
    kept.keep(condition(), hint("garage", "first"))
    assert kept.find(condition(where="this machine"), HERE) is None
    assert kept.find(condition(where="edge"), HERE) is not None
    assert kept.find(condition(), {LOCAL: "", "garage": "second"}) is not None, "a formula"


# --- weights


@pytest.fixture
def network(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A detector that is a network, and its file, which nothing here reads."""
    before = models()
    use_models(Models([tmp_path]))
    detector = next(one for one in models().detectors.values() if len(one.files) == 1)
    file = tmp_path / detector.files[0].name
    file.write_bytes(b"weights")
    yield detector.name, file
    use_models(before)


def test_other_weights_make_another_hint(network: tuple[str, Path]) -> None:
    name, file = network
    kept = KeptHints()
    kept.keep(condition(name), hint())
    assert kept.find(condition(name), HERE) is not None
    file.write_bytes(file.read_bytes() + b" ")
    assert kept.find(condition(name), HERE) is None


def test_a_worker_begun_anew_may_have_other_weights(network: tuple[str, Path]) -> None:
    name, _ = network
    kept = KeptHints()
    kept.keep(condition(name), hint("garage", "first"))
    assert kept.find(condition(name), {LOCAL: "", "garage": "first"}) is not None
    assert kept.find(condition(name), {LOCAL: "", "garage": "second"}) is None
    assert kept.find(condition(name), HERE) is not None, "it is away: its hint is as good as ever"
    kept.keep(condition(name, seed=1), hint())
    assert kept.find(condition(name, seed=1, where="edge"), HERE) is None


# --- memory


def test_the_oldest_go_when_memory_is_full() -> None:
    kept = KeptHints(most_bytes=3 * 64 * 64)
    for seed in range(3):
        kept.keep(condition(seed=seed), hint())
    assert kept.find(condition(seed=0), HERE) is not None  # and is the newest now
    kept.keep(condition(seed=3), hint())
    assert kept.find(condition(seed=1), HERE) is None
    assert kept.find(condition(seed=0), HERE) is not None
    assert kept.bytes == 3 * 64 * 64
    kept.keep(condition(seed=4), hint(size=999))
    assert len(kept) == 0, "one that does not fit is not kept either"


def test_what_is_kept_cannot_be_changed() -> None:
    kept, made = KeptHints(), hint()
    kept.keep(condition(), made)
    with pytest.raises(ValueError, match="read-only"):
        made.pictures[0][0, 0] = 1


# --- in runs


def test_a_changed_strength_runs_no_detector(asked: list[str]) -> None:
    kept = KeptHints()
    first = go(plan_conditions([condition(), condition("tile")], [], Costs(), kept), kept)
    assert sorted(asked) == ["canny", "tile"]
    changed = [condition(strength=0.5), condition("tile", strength=0.1), condition("blur")]
    offload = plan_conditions(changed, [], Costs(), kept)
    assert list(offload.instance.task) == ["2:blur"]
    planned = offload_payload(offload, None)
    assert [row["status"] for row in planned["rows"]] == ["cached", "cached", "planned"]
    second = go(offload, kept)
    assert sorted(asked) == ["blur", "canny", "tile"]
    assert [row.status for row in second.rows] == ["cached", "cached", "done"]
    assert [one.condition for one in second.hints] == changed
    for one, other in zip(first.hints, second.hints, strict=False):
        np.testing.assert_array_equal(one.pictures[0], other.pictures[0])
    assert "0:canny: made before, on this machine" in second.summary


def test_all_kept_is_a_run_of_nothing(asked: list[str]) -> None:
    kept = KeptHints()
    go(plan_conditions([condition()], [], Costs(), kept), kept)
    offload = plan_conditions([condition()], [], Costs(), kept)
    assert offload.plan.makespan_s == 0
    outcome = go(offload, kept)
    assert outcome.timeline.spans == ()
    assert offload_payload(offload, outcome)["baseline"] == {
        "all_local_s": None,
        "all_edge_s": None,
    }
    assert asked == ["canny"]


def test_what_a_stopped_run_made_is_not_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same plan, as ComfyUI keeps it."""
    kept, gate = KeptHints(), held_here(monkeypatch)
    offload = plan_conditions([condition(), condition("tile")], [], Costs(), kept)
    with pytest.raises(Cancelled):  # as soon as one has begun
        run_lanes(offload, Costs(), kept, report=lambda _: None, cancelled=gate.begun)
    gate.go_on.set()
    wait_until(lambda: len(kept))  # the one that had begun ends by itself
    assert len(kept) == 1
    [made] = gate.asked
    outcome = go(offload, kept)
    assert sorted(gate.asked) == ["canny", "tile"]
    assert {row.cond.partition(":")[2]: row.status for row in outcome.rows}[made] == "cached"


@pytest.fixture
def entry(tmp_path: Path) -> Iterator[tuple[WorkerEntry, Relay]]:
    with WorkerProcess.start("garage", log=tmp_path / "log") as worker:
        worker.wait_ready()
        with Relay(worker.entry.url) as relay:
            yield replace(worker.entry, url=relay.url), relay


def test_a_worker_is_not_asked_again(entry: tuple[WorkerEntry, Relay]) -> None:
    garage, relay = entry
    kept = KeptHints()
    pinned = [condition(where="edge"), condition("tile", where="edge")]
    offload = plan_conditions(pinned, [garage], Costs(), kept)
    probes = bytes(relay.up).count(b"POST /v1/preprocess/")
    first = go(offload, kept)
    asked = bytes(relay.up).count(b"POST /v1/preprocess/")
    assert asked == probes + 2
    again = [condition(where="edge", strength=0.2), condition("tile", where="edge", end=0.5)]
    second = go(plan_conditions(again, [garage], Costs(), kept), kept)
    assert bytes(relay.up).count(b"POST /v1/preprocess/") == asked
    assert [(row.worker, row.status) for row in second.rows] == [("garage", "cached")] * 2
    for one, other in zip(first.hints, second.hints, strict=True):
        assert one.pictures[0] is other.pictures[0]


def test_what_a_lossy_worker_made_is_not_kept(entry: tuple[WorkerEntry, Relay]) -> None:
    """It saw another photo: as a formula's hint it would pass for that of every lane."""
    garage, kept = replace(entry[0], lossy=True), KeptHints()
    offload = plan_conditions([condition(where="edge")], [garage], Costs(), kept)
    assert [row.worker for row in go(offload, kept).rows] == ["garage"]
    assert len(kept) == 0
