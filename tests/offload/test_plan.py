from __future__ import annotations

import random
from dataclasses import replace

import pytest
from comfyui_tandem.engine.offload.bound import lower_bound
from comfyui_tandem.engine.offload.instance import LOCAL, Instance, Task, Worker
from comfyui_tandem.engine.offload.planner import plan
from comfyui_tandem.engine.offload.simulate import simulate

from .cases import KINDS, best_by_trial, case

pytestmark = pytest.mark.quick


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("tasks", [1, 2, 3, 5])
def test_standard_plans_are_the_best_of_all(tasks: int, seed: int) -> None:
    instance = case("standard", tasks, seed)
    found = plan(instance)
    assert found.method == "exact"
    assert found.makespan_s == pytest.approx(best_by_trial(instance), rel=1e-9)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", KINDS[1:])
def test_searched_plans_come_near_the_best_of_all(kind: str, seed: int) -> None:
    instance = case(kind, 4, seed)
    assert plan(instance).makespan_s <= 1.01 * best_by_trial(instance)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("tasks", [0, 1, 4, 9])
@pytest.mark.parametrize("kind", KINDS)
def test_a_plan_keeps_its_word(kind: str, tasks: int, seed: int) -> None:
    instance = case(kind, tasks, seed)
    found = plan(instance)
    assert simulate(instance, found).makespan_s == pytest.approx(found.makespan_s, abs=1e-9)
    if found.method == "exact":
        assert found.lower_bound_s == found.makespan_s >= lower_bound(instance) * (1 - 1e-12)
    else:
        assert found.lower_bound_s == pytest.approx(lower_bound(instance), rel=1e-12)
    assert found.lower_bound_s <= found.makespan_s + 1e-9
    for trivial in (found.all_local_s, found.all_edge_s):
        assert trivial is None or found.makespan_s <= trivial + 1e-12
    mixed = replace(
        instance,
        tasks=tuple(random.Random(seed).sample(instance.tasks, len(instance.tasks))),
        inputs=instance.inputs[::-1],
        workers=instance.workers[::-1],
    )
    assert plan(mixed) == found


@pytest.mark.parametrize("kind", KINDS)
def test_the_bound_is_below_the_best_and_not_idle(kind: str) -> None:
    shares: list[float] = []
    for seed in range(12):
        instance = case(kind, 3, seed)
        share = lower_bound(instance) / best_by_trial(instance)
        assert share <= 1 + 1e-9
        shares.append(share)
    assert sum(shares) / len(shares) > 0.8


def test_many_tasks_are_planned_by_thinned_labels() -> None:
    for seed in range(4):
        instance = case("standard", 60, seed)
        serial = replace(instance.workers[0], slots=1)
        found = plan(replace(instance, workers=(serial,)))
        assert found.method in ("exact", "beam")
        assert found.makespan_s <= 1.05 * found.lower_bound_s


def test_pins_are_kept() -> None:
    tasks = (
        Task("here", (), {LOCAL: 9.0}),
        Task("there", (), {"w0": 9.0}),
        Task("either", (), {LOCAL: 1.0, "w0": 1.0}),
    )
    found = plan(Instance(tasks, workers=(Worker("w0", 1e6, 1e6),)))
    assert (found.lane["here"], found.lane["there"]) == (LOCAL, "w0")
    assert (found.all_local_s, found.all_edge_s) == (10.0, 10.0)


def test_trivial_plans_that_cannot_be_have_no_time() -> None:
    assert plan(Instance((Task("a", (), {LOCAL: 1.0}),))).all_edge_s is None
    only_edge = Instance((Task("a", (), {"w0": 1.0}),), workers=(Worker("w0", 1e6, 1e6),))
    assert plan(only_edge).all_local_s is None


def test_ties_go_to_less_work_here() -> None:
    """Either lane does it in a second; this machine has better things to do."""
    tasks = (Task("a", (), {LOCAL: 1.0, "w0": 1.0}, 0.0),)
    found = plan(Instance(tasks, workers=(Worker("w0", 1e6, 1e6),)))
    assert found.lane["a"] == "w0"
