"""A condition of another's hint: right on every lane, after its source, and no further than it."""

from __future__ import annotations

import itertools
import threading
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
from comfyui_tandem.engine.conditions import (
    DETECTORS,
    Condition,
    ConditionRequest,
    Photo,
    detect,
    reads,
)
from comfyui_tandem.engine.errors import BadInput, Unavailable
from comfyui_tandem.engine.offload import (
    LOCAL,
    Costs,
    Instance,
    KeptHints,
    Offload,
    Outcome,
    Task,
    Worker,
    WorkerEntry,
    offload_payload,
    plan,
    plan_conditions,
    run_lanes,
)
from comfyui_tandem.engine.offload.board import Board
from comfyui_tandem.engine.offload.outlook import Job, Outlook

from .relay import BROKEN, Relay
from .runs import at_edge, photo

pytestmark = pytest.mark.quick
DEPTH = ConditionRequest("rendered_depth", 256)
NORMALS = ConditionRequest("normals_from_depth", 192)
LANES = (LOCAL, "garage")
NAME = "1:normals_from_depth"


def chain(*photos: Photo, depth: str = "auto", normals: str = "auto") -> list[Condition]:
    """Depth, and normals of its hint, which comes first in what is due."""
    source = Condition(replace(DEPTH, where=depth), photos or (photo(60),))
    return [source, Condition(replace(NORMALS, where=normals), (), source=source)]


def go(offload: Offload, kept: KeptHints | None = None) -> Outcome:
    never = threading.Event()
    return run_lanes(offload, Costs(), kept, report=lambda _: None, cancelled=never)


def check(outcome: Outcome) -> None:
    """Every normal is what the detector makes of its source's hint, bit by bit."""
    depth, normals = outcome.hints
    assert len(depth.pictures) == len(normals.pictures) == len(depth.condition.photos)
    for given, near, made in zip(
        depth.condition.photos, depth.pictures, normals.pictures, strict=True
    ):
        np.testing.assert_array_equal(near, detect(DEPTH, given))
        grey = Photo(np.repeat(near.astype(np.uint8)[..., None], 3, axis=2))
        np.testing.assert_array_equal(made, detect(NORMALS, grey))


def pinned(offload: Offload, lanes: dict[str, str]) -> Offload:
    """Each task on one lane alone, so that nobody helps out."""
    tasks = tuple(
        replace(task, run={lanes[task.id]: task.run[lanes[task.id]]})
        for task in offload.instance.tasks
    )
    instance = replace(offload.instance, tasks=tasks)
    return replace(offload, instance=instance, plan=plan(instance))


@pytest.mark.parametrize("there", LANES)
@pytest.mark.parametrize("here", LANES)
def test_every_pair_of_lanes_gives_the_same_bits(entry: WorkerEntry, here: str, there: str) -> None:
    seed = 100 + 10 * LANES.index(here) + 20 * LANES.index(there)  # new to the worker
    offload = plan_conditions(chain(photo(seed), photo(seed + 1)), [entry], Costs())
    assert offload.instance.task["1:normals_from_depth"].needs == ("0:rendered_depth",)
    outcome = go(pinned(offload, {"0:rendered_depth": here, "1:normals_from_depth": there}))
    check(outcome)
    assert [hint.lane for hint in outcome.hints] == [here, there]
    spans = {(span.what, span.kind): span for span in outcome.timeline.spans}
    depth, normals = spans["0:rendered_depth", "run"], spans["1:normals_from_depth", "run"]
    assert depth.end_s <= normals.start_s
    assert (("0:rendered_depth", "up") in spans) == (there == "garage"), "sent as what it is"
    shown = {span["what"] for span in offload_payload(offload, outcome)["actual"]["spans"]}
    assert shown <= {"0:rendered_depth", "1:normals_from_depth", "photo 1", "photo 2"}


def test_the_plan_counts_the_hints_way_home_and_back(entry: WorkerEntry) -> None:
    offload = plan_conditions(chain(), [entry], Costs())
    [source, task] = offload.instance.tasks
    [worker] = offload.instance.workers
    way_s = source.out_bytes * (1 / worker.up_bytes_per_s + 1 / worker.down_bytes_per_s)
    extra = task.run["garage"] - offload.priors[task.id]["garage"]
    assert extra == pytest.approx(way_s + 2 * worker.latency_s)


def test_predicted_and_actual_seconds_of_a_chained_row_are_of_the_same(entry: WorkerEntry) -> None:
    """Both without the hint's way, however slow: 250 kB a second here."""
    slow = Costs()
    for way, size in itertools.product(("up", "down"), (60_000, 500_000, 120_000, 250_000)):
        slow.observe_transfer("garage", way, size, size / 250_000)
    offload = plan_conditions(chain(photo(75)), [entry], slow)
    there = pinned(offload, dict.fromkeys(offload.tasks, "garage"))
    [planned] = [row for row in offload_payload(there, None)["rows"] if row["cond"] == NAME]
    assert planned["predicted_s"] == pytest.approx(offload.priors[NAME]["garage"])
    seen: dict[str, float] = {}

    def took(self: Outlook, job: Job, run_s: float) -> None:
        seen[job.task] = run_s

    with patch.object(Outlook, "took", took):
        row = go(there).rows[1]
    assert row.predicted_s == planned["predicted_s"]
    way_s = there.instance.task[NAME].run["garage"] - row.predicted_s
    assert way_s > 0.05 and seen[NAME] == pytest.approx(row.actual_s + way_s)


def test_a_lost_source_is_made_elsewhere_and_the_rest_follows(
    entry: WorkerEntry, relay: Relay
) -> None:
    offload = at_edge(plan_conditions(chain(photo(63)), [entry], Costs()))
    relay.lie = BROKEN
    outcome = go(offload)
    check(outcome)
    assert [row.status for row in outcome.rows] == ["moved", "moved"]
    assert len(outcome.warnings) == 1


def test_the_source_is_taken_from_before_and_so_is_what_was_made_of_it() -> None:
    kept, conditions = KeptHints(), chain()
    go(plan_conditions(conditions[:1], [], Costs(), kept), kept)
    offload = plan_conditions(conditions, [], Costs(), kept)
    [left] = offload.instance.tasks
    [hint] = offload.instance.inputs
    assert left.needs == (hint.id,) and not offload.instance.chained
    outcome = go(offload, kept)
    check(outcome)
    assert [row.status for row in outcome.rows] == ["cached", "done"]
    again = go(plan_conditions(conditions, [], Costs(), kept), kept)
    assert [row.status for row in again.rows] == ["cached", "cached"]
    other = go(plan_conditions(chain(photo(64)), [], Costs(), kept), kept)
    assert [row.status for row in other.rows] == ["done", "done"]
    check(other)


# --- a hint stays where its photo stays


def test_a_hint_of_a_photo_that_stays_here_stays_here(entry: WorkerEntry, relay: Relay) -> None:
    offload = plan_conditions(chain(depth="this machine"), [entry], Costs())
    assert [set(task.run) for task in offload.instance.tasks] == [{LOCAL}, {LOCAL}]
    check(go(offload))
    assert relay.connections == 0
    with pytest.raises(BadInput, match="stays on this machine"):
        chain(depth="this machine", normals="edge")


def test_it_stays_here_also_when_the_hint_was_made_before(entry: WorkerEntry, relay: Relay) -> None:
    kept, conditions = KeptHints(), chain(depth="this machine")
    go(plan_conditions(conditions[:1], [entry], Costs(), kept), kept)
    offload = plan_conditions(conditions, [entry], Costs(), kept)
    assert [set(task.run) for task in offload.instance.tasks] == [{LOCAL}]
    assert relay.connections == 0


# --- what cannot be


def test_only_hints_that_it_can_read_are_taken() -> None:
    edges = Condition(ConditionRequest("canny"), (photo(),))
    with pytest.raises(BadInput, match=r"normals_from_depth.*canny.*near is white"):
        Condition(NORMALS, (), source=edges)
    with pytest.raises(BadInput, match=r"hint for canny.*photos alone"):
        Condition(ConditionRequest("canny"), (), source=edges)
    readable = [name for name in DETECTORS if reads("normals_from_depth", of(name))]
    assert {"depth_midas", "depth_fast", "rendered_depth"} <= set(readable)
    assert all("depth" in name for name in readable)


def of(detector: str) -> Condition:
    return Condition(ConditionRequest(detector), ())


def test_a_source_outside_the_chain_and_shares_are_refused() -> None:
    _, normals = chain()
    with pytest.raises(BadInput, match="chain the condition"):
        plan_conditions([normals], [], Costs())
    with pytest.raises(BadInput, match="choose full"):
        plan_conditions(chain(), [], Costs(), bandwidth="shares")


def test_a_worker_alone_that_is_lost_is_one_error(entry: WorkerEntry, relay: Relay) -> None:
    offload = plan_conditions(chain(depth="edge"), [entry], Costs())
    relay.cut()
    with pytest.raises(Unavailable, match=r"worker for 0:rendered_depth.*garage"):
        go(offload)


# --- who takes what


def test_nobody_begins_before_the_hint_is_home() -> None:
    tasks = (
        Task("a", (), {LOCAL: 1.0, "w": 1.0}, 10.0),
        Task("b", ("a",), {LOCAL: 1.0, "w": 1.0}, 10.0),
        Task("c", (), {LOCAL: 9.0}, 10.0),
    )
    instance = Instance(tasks, workers=(Worker("w", 1e6, 1e6),))
    made = replace(plan(instance), lane={"a": "w", "b": LOCAL, "c": LOCAL}, order=("a", "b", "c"))
    board = Board(instance, made)
    other = board.take(LOCAL, 0.0)
    assert other is not None and other.task == "c", "b waits for a, and holds nobody up"
    first = board.take("w", 0.0)
    assert first is not None and first.task == "a"
    assert board.take("w", 0.0) is None, "b is not to be stolen either"
    assert board.arrived(first, 1.0, 1.0)
    second = board.take("w", 1.0)
    assert second is not None and (second.task, second.why) == ("b", "stolen")


def test_16_bits_become_8_by_rounding() -> None:
    levels = np.array([[0, 128, 129, 65535]], np.uint16)
    assert Photo.of_hint(levels).pixels[0, :, 0].tolist() == [0, 0, 1, 255]
