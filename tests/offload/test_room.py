"""Memory: a network runs only where it has room, and only as many at a time as fit together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from comfyui_tandem.engine.conditions import Condition, ConditionRequest, Photo, find_detector
from comfyui_tandem.engine.errors import Unavailable
from comfyui_tandem.engine.offload import (
    LOCAL,
    Costs,
    Measured,
    Offload,
    Profile,
    WorkerClient,
    WorkerEntry,
    able,
    plan_conditions,
)
from comfyui_tandem.engine.offload import offload as planning
from comfyui_tandem.engine.offload.capabilities import DetectorState
from comfyui_tandem.engine.offload.room import Room
from comfyui_tandem.headless.worker import WorkerProcess
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.quick
NETWORKS = ("depth_midas", "depth_leres", "mlsd")  # 690, 570, 250 MB
MB = 1_000_000


def condition(detector: str, where: str = "auto") -> Condition:
    return Condition(
        ConditionRequest(detector, where=where), (Photo(np.zeros((96, 96, 3), np.uint8)),)
    )


@pytest.fixture
def planned(garage: WorkerProcess, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Plans the networks as if their weights were everywhere, on a worker that says so much."""
    with_client = WorkerClient(garage.entry)
    real = with_client.capabilities()
    with_client.close()
    monkeypatch.setattr(able, "obstacle", lambda name: None)
    monkeypatch.setattr(planning, "probe_links", lambda answers, costs: None)

    def made(
        room_mb: float | None = None,
        *,
        where: str = "auto",
        costs: Costs | None = None,
        detectors: tuple[str, ...] = NETWORKS,
        slots: int = 1,
        **told_mb: float,
    ) -> Offload:
        said = {f"{name}_memory_bytes": size * MB for name, size in told_mb.items()}
        states = {name: DetectorState("on disk", None, None) for name in detectors}
        can = replace(real, detectors=states, slots=slots, **{**UNKNOWN, **said})

        def ask(workers: list[WorkerEntry]) -> Any:
            return [(entry, can) for entry in workers], []

        monkeypatch.setattr(planning, "ask", ask)
        room = None if room_mb is None else room_mb * MB
        conditions = [condition(name, where) for name in detectors]
        return plan_conditions(conditions, [garage.entry], costs or Costs(), room_bytes=room)

    return made


UNKNOWN: dict[str, Any] = {"process_memory_bytes": None, "free_memory_bytes": None}


def lanes(offload: Offload) -> list[set[str]]:
    return [set(task.run) for task in offload.instance.tasks]


def test_what_has_no_room_on_a_lane_has_no_time_there(planned: Any) -> None:
    both, here, there = {LOCAL, "garage"}, {LOCAL}, {"garage"}
    assert lanes(planned()) == [both, both, both], "nothing known, nothing bound"
    assert lanes(planned(600)) == [there, both, both]
    assert lanes(planned(process=600)) == [here, both, both]
    assert lanes(planned(free=300)) == [here, here, both]
    tight = planned(600)
    assert tight.notes == ("0:depth_midas has no room here: its network takes about 690 MB of 600",)
    assert tight.plan.lane["0:depth_midas"] == "garage"


def test_where_no_other_lane_can_this_machine_tries_and_says_so(planned: Any) -> None:
    offload = planned(600, process=100)
    assert lanes(offload) == [{LOCAL}] * 3
    assert [note.partition(":")[2] for note in offload.notes] == [
        "depth_midas may be too large for here: its network takes about 690 MB of 600"
    ]


def test_pinned_to_a_worker_without_room_is_one_clear_error(planned: Any) -> None:
    with pytest.raises(Unavailable, match=r"depth_midas.*garage: its network takes about 690 MB"):
        planned(where="edge", process=600)


def test_what_does_not_fit_together_runs_one_after_the_other(planned: Any) -> None:
    found = [planned(slots=3, free=free).instance.workers[0].slots for free in (1600, 1300, 700)]
    assert found == [3, 2, 1]


def test_a_profile_is_believed_before_the_registry(planned: Any) -> None:
    sizes = [(512, 512 * 512, 100), (1024, 1024 * 1024, 900)]
    rows = tuple(
        Measured("depth_midas", side, pixels, 1.0, 2.0, None, size * MB, 1000)
        for side, pixels, size in sizes
    )
    profile = Profile("bench", "", "", {}, rows)
    assert profile.memory_bytes("depth_midas", 64) == 100 * MB
    assert profile.memory_bytes("depth_midas", 2**24) == 900 * MB
    costs = Costs()
    costs.adopt(LOCAL, profile)
    assert LOCAL in planned(600, costs=costs).instance.task["0:depth_midas"].run


def test_what_is_loaded_already_needs_no_room(planned: Any) -> None:
    costs = Costs()
    costs.observe_load(LOCAL, "", "depth_midas", 0.0)
    assert lanes(planned(1, costs=costs, detectors=("depth_midas",))) == [{LOCAL, "garage"}]
    assert lanes(planned(1, detectors=("depth_midas",))) == [{"garage"}]


@given(
    st.lists(st.sampled_from(NETWORKS), min_size=1, max_size=6),
    st.integers(1, 8),
    st.floats(0, 5000),
)
def test_slots_fit_together_whichever_tasks_they_get(
    names: list[str], most: int, free_mb: float
) -> None:
    needs = [find_detector(name).memory_mb for name in names]
    slots = Room(free_mb).slots(most, needs)
    assert 1 <= slots <= most
    assert slots == 1 or sum(sorted(needs)[-slots:]) <= free_mb
    assert slots == most or sum(sorted(needs)[-slots - 1 :]) > free_mb, "and no fewer than fit"


def test_a_real_worker_tells_its_memory(garage: WorkerProcess) -> None:
    client = WorkerClient(garage.entry)
    can = client.capabilities()
    client.close()
    assert can.process_memory_bytes == 2**32
    assert can.free_memory_bytes is None or 0 < can.free_memory_bytes < 2**50
