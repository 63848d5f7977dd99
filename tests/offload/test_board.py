"""The rules by which lanes take work, on a clock that the test turns."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from comfyui_tandem.benchmarks import families
from comfyui_tandem.benchmarks.virtual_run import FixedBoard, virtual_run
from comfyui_tandem.engine.offload import LOCAL, Input, Instance, Lane, Plan, Task, Worker, plan
from comfyui_tandem.engine.offload.board import Board
from comfyui_tandem.engine.offload.outlook import Job

pytestmark = pytest.mark.quick


def board(tasks: dict[str, dict[str, float]], lane: dict[str, str], slots: int = 1) -> Board:
    names = sorted({lane for run in tasks.values() for lane in run} - {LOCAL})
    instance = Instance(
        tuple(Task(name, (), run) for name, run in tasks.items()),
        local=Lane(),
        workers=tuple(Worker(name, 1e9, 1e9, slots=slots) for name in names),
    )
    return Board(instance, Plan(lane, tuple(tasks), 0.0, "search", 0.0, None, None))


def take(on: Board, lane: str, now: float = 0.0) -> Job:
    job = on.take(lane, now)
    assert job is not None
    return job


def test_a_worker_gets_one_more_than_its_slots() -> None:
    tasks = {f"t{n}": {LOCAL: 9.0, "w0": 1.0} for n in range(5)}
    on = board(tasks, dict.fromkeys(tasks, "w0"), slots=2)
    jobs = [take(on, "w0") for _ in range(3)]
    assert [job.task for job in jobs] == ["t0", "t1", "t2"]
    assert on.take("w0", 0.0) is None
    assert on.arrived(jobs[0], 1.0, 1.0)
    assert take(on, "w0", 1.0).task == "t3"


def test_this_machine_takes_over_the_shortest_that_ends_sooner_here() -> None:
    tasks = {
        "a": {LOCAL: 3.0, "w0": 2.0},
        "b": {LOCAL: 1.0, "w0": 2.0},
        "c": {LOCAL: 1.5, "w0": 2.0},
    }
    on = board(tasks, dict.fromkeys(tasks, "w0"))
    take(on, "w0")
    stolen = take(on, LOCAL)
    assert (stolen.task, stolen.why) == ("b", "stolen")


def test_nothing_is_taken_over_that_would_end_later() -> None:
    tasks = {"a": {LOCAL: 9.0, "w0": 1.0}, "b": {LOCAL: 9.0, "w0": 1.0}}
    on = board(tasks, dict.fromkeys(tasks, "w0"))
    take(on, "w0")
    assert on.take(LOCAL, 0.0) is None


def test_a_worker_takes_over_what_it_gains_most_on() -> None:
    tasks = {"a": {LOCAL: 4.0}, "b": {LOCAL: 4.0, "w0": 2.0}, "c": {LOCAL: 4.0, "w0": 0.5}}
    on = board(tasks, dict.fromkeys(tasks, LOCAL))
    take(on, LOCAL)
    stolen = take(on, "w0")
    assert (stolen.task, stolen.why) == ("c", "stolen")


def test_an_idle_worker_copies_what_runs_here_and_the_first_result_counts() -> None:
    on = board({"a": {LOCAL: 4.0, "w0": 1.0}}, {"a": LOCAL})
    first = take(on, LOCAL)
    copy = take(on, "w0", 0.5)
    assert (copy.task, copy.why) == ("a", "copy")
    assert on.take("w0", 0.6) is None
    assert on.arrived(copy, 1.0, 1.5)
    assert on.finished
    assert not on.arrived(first, 4.0, 4.0)


def test_this_machine_copies_what_is_overdue_only() -> None:
    on = board({"a": {LOCAL: 2.0, "w0": 1.0}}, {"a": "w0"})
    take(on, "w0")
    assert on.take(LOCAL, 0.0) is None
    assert on.take(LOCAL, 1.4) is None
    copy = take(on, LOCAL, 1.6)
    assert (copy.task, copy.why) == ("a", "late")


def test_what_is_home_is_not_copied_while_its_other_run_is_being_stopped() -> None:
    tasks = {"a": {LOCAL: 2.0, "w0": 1.0}, "b": {LOCAL: 3.0, "w0": 1.0}}
    on = board(tasks, dict.fromkeys(tasks, "w0"))
    first, _ = take(on, "w0"), take(on, "w0")
    assert on.arrived(take(on, LOCAL, 1.6), 2.0, 3.6)
    assert on.rivals("a") == [first]  # its thread has not heard yet
    assert take(on, LOCAL, 3.6).task == "b"


def test_a_late_worker_is_not_waited_for_again_with_the_next_task() -> None:
    tasks = {name: {LOCAL: 2.0, "w0": 1.0} for name in "abc"}
    on = board(tasks, {"a": "w0", "b": "w0", "c": LOCAL})
    first, second = take(on, "w0"), take(on, "w0")
    on.arrived(take(on, LOCAL), 2.0, 2.0)
    on.arrived(take(on, LOCAL, 2.0), 2.0, 4.0)
    on.dropped(first, 4.0)
    copy = take(on, LOCAL, 4.0)
    assert (copy.task, copy.why) == ("b", "late")
    assert on.arrived(second, 1.0, 4.5)
    assert not on.outlook.late


def test_a_late_worker_takes_nothing_over_until_something_is_home_from_it() -> None:
    tasks = {"a": {LOCAL: 2.0, "w0": 1.0}, "b": {LOCAL: 9.0}, "c": {LOCAL: 9.0, "w0": 1.0}}
    on = board(tasks, {"a": "w0", "b": LOCAL, "c": LOCAL})
    job = take(on, "w0")
    take(on, LOCAL)
    on.dropped(job, 1.4)
    assert on.to_steal("w0", 1.4) == "c"
    on = board(tasks, {"a": "w0", "b": LOCAL, "c": LOCAL})
    job = take(on, "w0")
    take(on, LOCAL)
    on.dropped(job, 1.6)
    assert on.to_steal("w0", 1.6) is None


def test_waiting_behind_another_and_for_the_photo_is_not_being_late() -> None:
    tasks = tuple(Task(name, ("photo",), {LOCAL: 99.0, "w0": 5.0}) for name in "ab")
    worker = Worker("w0", up_bytes_per_s=10.0, down_bytes_per_s=1e9)
    instance = Instance(tasks, (Input("photo", 100.0),), workers=(worker,))
    on = Board(instance, Plan({"a": "w0", "b": "w0"}, ("a", "b"), 0.0, "search", 0.0, None, None))
    first, second = take(on, "w0"), take(on, "w0")
    assert on.take(LOCAL, 9.0) is None  # the photo is on its way
    on.outlook.sent("w0", "photo", 10.0)
    assert on.take(LOCAL, 14.0) is None
    on.arrived(first, 5.0, 15.0)
    assert on.take(LOCAL, 19.0) is None  # the second has just begun
    assert not on.outlook.is_overdue(second, 22.4)
    late = take(on, LOCAL, 22.6)
    assert (late.task, late.why) == ("b", "late")


def test_a_photo_that_does_not_arrive_is_late() -> None:
    tasks = (Task("a", ("photo",), {LOCAL: 99.0, "w0": 1.0}),)
    worker = Worker("w0", up_bytes_per_s=10.0, down_bytes_per_s=1e9)
    instance = Instance(tasks, (Input("photo", 100.0),), workers=(worker,))
    on = Board(instance, Plan({"a": "w0"}, ("a",), 0.0, "search", 0.0, None, None))
    job = take(on, "w0")
    assert not on.outlook.is_overdue(job, 11.4)
    assert on.outlook.is_overdue(job, 11.6)


def test_a_closed_workers_tasks_move_and_stay_in_their_place_when_home() -> None:
    tasks = {"a": {LOCAL: 9.0, "w0": 1.0}, "b": {LOCAL: 9.0, "w0": 1.0}, "c": {"w0": 1.0}}
    on = board(tasks, dict.fromkeys(tasks, "w0"))
    first, _ = take(on, "w0"), take(on, "w0")
    on.arrived(first, 1.0, 1.0)
    assert on.close("w0", "gone", 1.0) == ["c"]
    assert on.take("w0", 1.0) is None
    job = take(on, LOCAL, 1.0)
    assert (job.task, job.why) == ("b", "moved")


def test_a_lost_workers_tasks_go_to_another_where_this_machine_may_not() -> None:
    tasks = {"a": {"w0": 1.0, "w1": 1.0}}
    on = board(tasks, {"a": "w0"})
    take(on, "w0")
    assert on.close("w0", "gone", 1.0) == []
    assert take(on, "w1", 1.0).task == "a"


def test_what_a_lane_refused_does_not_come_back_to_it() -> None:
    on = board({"a": {LOCAL: 1.0, "w0": 1.0}}, {"a": LOCAL})
    assert on.refused(take(on, LOCAL), 1.0)
    assert on.take(LOCAL, 99.0) is None
    job = take(on, "w0", 99.0)
    assert not on.refused(job, 99.0)


def test_a_lanes_speed_follows_what_it_took_within_bounds() -> None:
    tasks = {f"t{n}": {LOCAL: 1.0} for n in range(4)}
    on = board(tasks, dict.fromkeys(tasks, LOCAL))
    assert on.outlook.factor(LOCAL, 0.0) == 1.0
    on.arrived(take(on, LOCAL), 1.3, 1.3)
    assert on.outlook.factor(LOCAL, 1.3) == pytest.approx((0.7 + 1.3) / 1.7)
    on.arrived(take(on, LOCAL), 100.0, 101.3)
    assert on.outlook.factor(LOCAL, 1.3) == 1.6


@pytest.mark.parametrize("seed", range(20))
def test_with_exact_times_a_run_takes_what_was_planned(seed: int) -> None:
    instance = families.instance("real", 3 + seed % 5, seed)
    found = plan(instance)
    assert virtual_run(instance, found, {}, FixedBoard) <= 1.05 * found.makespan_s
    assert virtual_run(instance, found, {}) <= 1.10 * found.makespan_s + 0.05


@pytest.mark.parametrize("family", families.FAMILIES[:-1])
@pytest.mark.parametrize("seed", range(6))
def test_a_worker_that_dies_at_any_time_costs_at_most_all_here(family: str, seed: int) -> None:
    instance = families.instance(family, 5, seed)
    found = plan(instance)
    here = sum(task.run[LOCAL] for task in instance.tasks)
    dead = random.Random(seed).uniform(0, found.makespan_s)
    end = virtual_run(instance, found, {}, dies={worker.id: dead for worker in instance.workers})
    assert end <= dead + here + 1e-6


def test_helping_out_pays_when_a_worker_is_slower_than_planned() -> None:
    shipped = fixed = 0.0
    for seed in range(60):
        instance = families.instance("real", 5, 500 + seed)
        found = plan(instance)
        actual = {
            (task.id, lane): seconds * (1 if lane == LOCAL else 3)
            for task in instance.tasks
            for lane, seconds in task.run.items()
        }
        slow = replace(
            instance,
            tasks=tuple(
                replace(task, run={lane: actual[task.id, lane] for lane in task.run})
                for task in instance.tasks
            ),
        )
        best = plan(slow).makespan_s
        shipped += virtual_run(instance, found, actual) / best / 60
        fixed += virtual_run(instance, found, actual, FixedBoard) / best / 60
    assert shipped < 1 + 0.85 * (fixed - 1)


@pytest.mark.parametrize("seed", range(10))
def test_pins_hold_whatever_happens(seed: int) -> None:
    """No lane is ever given a task that has no seconds there."""
    chance = random.Random(seed)
    instance = families.instance("two_workers", 6, seed)
    tasks = tuple(
        replace(task, run={lane: task.run[lane] for lane in chance.sample(sorted(task.run), 1)})
        for task in instance.tasks
    )
    pinned = replace(instance, tasks=tasks)

    class Watched(Board):
        def take(self, lane: str, now: float) -> Job | None:
            job = super().take(lane, now)
            assert job is None or lane in self.instance.task[job.task].run
            return job

    actual = {
        (task.id, lane): seconds * chance.uniform(0.2, 5)
        for task in tasks
        for lane, seconds in task.run.items()
    }
    assert virtual_run(pinned, plan(pinned), actual, Watched) > 0
