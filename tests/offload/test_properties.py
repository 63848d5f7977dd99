"""What holds for every instance, plan and division of the link."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from dataclasses import replace

import pytest
from comfyui_tandem.engine.offload import (
    LOCAL,
    Input,
    Instance,
    Lane,
    Task,
    Timeline,
    Worker,
    lower_bound,
    plan,
    simulate,
)
from comfyui_tandem.engine.offload.passes import Passes, serve
from comfyui_tandem.engine.offload.search import CLOSE
from comfyui_tandem.engine.offload.shares import best_shares, plan_shares, shares_timeline
from comfyui_tandem.engine.offload.simulate import run_order
from hypothesis import given, settings
from hypothesis import strategies as st

from .cases import all_assignments

pytestmark = pytest.mark.quick
few = settings(max_examples=60, deadline=None, derandomize=True)
seconds = st.floats(0, 20) | st.integers(0, 5).map(float)
rates = st.floats(1e4, 1e8)


@st.composite
def instances(
    draw: st.DrawFn,
    *,
    tasks: int = 6,
    workers: int = 3,
    chains: bool = True,
    half: bool = True,
    own: bool = False,
    slots: int = 3,
) -> Instance:
    made_workers = tuple(
        Worker(
            f"w{n}",
            draw(rates),
            draw(rates),
            slots=draw(st.integers(0, slots)),
            ready_s=draw(st.floats(0, 1)),
            latency_s=draw(st.floats(0, 0.1)),
            link=draw(st.sampled_from(["", "lan"])) if workers > 1 else "",
        )
        for n in range(draw(st.integers(1, workers)))
    )
    lanes = [LOCAL, *(worker.id for worker in made_workers)]
    count = draw(st.integers(1, tasks))
    photos = tuple(
        Input(f"p{n}", draw(st.floats(0, 1e6)), draw(st.floats(0, 0.2)))
        for n in range(count if own else draw(st.integers(1, 3)))
    )
    made: list[Task] = []
    for n in range(count):
        able = draw(st.lists(st.sampled_from(lanes), min_size=1, unique=True))
        needs = (
            [f"p{n}"]
            if own
            else draw(st.lists(st.sampled_from([p.id for p in photos]), unique=True))
        )
        if chains and n and draw(st.booleans()):
            needs.append(f"t{draw(st.integers(0, n - 1))}")
        run = {lane: draw(seconds) for lane in able}
        made.append(Task(f"t{n}", tuple(needs), run, draw(st.floats(0, 1e6))))
    links = {worker.link_id for worker in made_workers} if half and draw(st.booleans()) else ()
    local = Lane(draw(st.integers(1, slots)), draw(st.floats(0, 1)))
    return Instance(tuple(made), photos, local, made_workers, dict.fromkeys(links, "half"))


standard = instances(workers=1, chains=False, half=False, slots=1).map(
    lambda i: replace(i, tasks=tuple(replace(t, needs=("p0",)) for t in i.tasks))
)


@few
@given(instances())
def test_plan_equals_simulate_and_lies_between_bound_and_trivial(instance: Instance) -> None:
    found = plan(instance, evaluations=60)
    assert simulate(instance, found).makespan_s == pytest.approx(found.makespan_s, abs=1e-9)
    assert lower_bound(instance) <= found.makespan_s * (1 + 1e-9) + 1e-9
    for trivial in (found.all_local_s, found.all_edge_s):
        assert trivial is None or found.makespan_s <= trivial
    for task in instance.tasks:
        assert found.lane[task.id] in task.run


@few
@given(instances(), st.randoms(use_true_random=False))
def test_the_order_of_the_input_does_not_matter(instance: Instance, chance: random.Random) -> None:
    def mixed(entries: tuple) -> tuple:
        return tuple(chance.sample(entries, len(entries)))

    other = replace(
        instance,
        tasks=mixed(instance.tasks),
        inputs=mixed(instance.inputs),
        workers=mixed(instance.workers),
    )
    assert plan(other, evaluations=40) == plan(instance, evaluations=40)


def takes_time(instance: Instance) -> Instance:
    """The instance with no work of zero length: whose turn it is in one instant is left open."""
    tasks = tuple(_longer(task) for task in instance.tasks)
    inputs = tuple(replace(photo, bytes=photo.bytes + 1) for photo in instance.inputs)
    return replace(instance, tasks=tasks, inputs=inputs)


def _longer(task: Task) -> Task:
    run = {lane: needed + 1e-3 for lane, needed in task.run.items()}
    return replace(task, run=run, out_bytes=task.out_bytes + 1)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(instances(chains=False, half=False).map(takes_time), st.randoms(use_true_random=False))
def test_passes_equal_events(instance: Instance, chance: random.Random) -> None:
    lanes = tuple(chance.choice(sorted(task.run)) for task in instance.tasks)
    order = tuple(chance.sample(range(len(lanes)), len(lanes)))
    ids = list(instance.task)
    named = dict(zip(ids, lanes, strict=True))
    events = run_order(instance, named, [ids[place] for place in order], {})
    assert Passes(instance).makespan(lanes, order) == pytest.approx(events.makespan_s, abs=1e-9)


def test_a_slot_that_idled_begins_nothing_before_it_arrived() -> None:
    late = [(0.125, 0), (0.125, 1), (0.0, 2)]
    assert sorted(serve(late, [0.0, 0.0, 0.0], 2, 0.0)) == [(0.0, 2), (0.125, 0), (0.125, 1)]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(instances(), st.randoms(use_true_random=False))
def test_timelines_keep_the_rules(instance: Instance, chance: random.Random) -> None:
    lane = {task.id: chance.choice(sorted(task.run)) for task in instance.tasks}
    order = chance.sample(list(lane), len(lane))
    timeline = run_order(instance, lane, order, {})
    check_rules(instance, lane, timeline)
    assert Timeline.from_dict(json.loads(json.dumps(timeline.as_dict()))) == timeline
    assert Instance.from_dict(json.loads(json.dumps(instance.as_dict()))) == instance


def check_rules(instance: Instance, lane: dict[str, str], timeline: Timeline) -> None:
    """No lane or link does too much at once, nothing begins before what it needs is there."""
    busy: dict[str, list[tuple[float, int]]] = defaultdict(list)
    end = {(span.what, span.lane, span.kind): span.end_s for span in timeline.spans}
    assert len(end) == len(timeline.spans)  # nothing runs or travels twice
    for span in timeline.spans:
        name = span.lane
        if span.kind != "run":
            link = instance.worker[span.lane].link_id
            name = f"link {link}" + ("" if instance.is_half_duplex(link) else span.kind)
        if span.end_s > span.start_s:
            busy[name] += [(span.start_s, 1), (span.end_s, -1)]
        if span.kind == "run":
            check_needs(instance, lane, end, span.what, span.start_s)
    for name, changes in busy.items():
        place = instance.local if name == LOCAL else instance.worker.get(name)
        slots = (place.slots or len(instance.tasks)) if place else 1
        now = 0
        for _, change in sorted(changes):
            now += change
            assert now <= slots
    homes = [
        end[name, LOCAL, "run"]
        if lane[name] == LOCAL
        else end[name, lane[name], "down"] + instance.worker[lane[name]].latency_s
        for name in instance.task
    ]
    assert timeline.makespan_s == pytest.approx(max(homes))


def check_needs(
    instance: Instance,
    lane: dict[str, str],
    end: dict[tuple[str, str, str], float],
    name: str,
    start: float,
) -> None:
    where = lane[name]
    for need in instance.task[name].needs:
        if need in instance.input:
            if where != LOCAL:
                assert start >= end[need, where, "up"] + instance.worker[where].latency_s
        elif lane[need] == where:
            assert start >= end[need, where, "run"]
        elif where == LOCAL:
            assert start >= end[need, lane[need], "down"] + instance.worker[lane[need]].latency_s
        else:
            assert start >= end[need, where, "up"] + instance.worker[where].latency_s
            assert end[need, where, "up"] >= end[need, lane[need], "run"]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(standard, st.randoms(use_true_random=False))
def test_no_division_of_the_link_beats_the_exact_plan(
    instance: Instance, chance: random.Random
) -> None:
    found = plan(instance)
    for lanes in all_assignments(instance):
        order = chance.sample(list(lanes), len(lanes))
        parts = {task: chance.random() + 1e-3 for task in lanes if lanes[task] != LOCAL}
        share = {task: part / sum(parts.values()) for task, part in parts.items()}
        divided = shares_timeline(instance, lanes, order, share).makespan_s
        best = shares_timeline(
            instance, lanes, order, best_shares(instance, lanes, order)
        ).makespan_s
        assert best <= divided * (1 + 1e-9) + 1e-9
        if found.method == "exact":
            assert found.makespan_s <= best * (1 + 1e-9) + 1e-9


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    instances(tasks=4, workers=1, chains=False, half=False, own=True, slots=1),
    st.randoms(use_true_random=False),
)
def test_no_division_of_the_link_beats_some_order_of_own_pictures(
    instance: Instance, chance: random.Random
) -> None:
    """Where each task sends a picture of its own: in the order in which shares bring them."""
    lanes = {task.id: chance.choice(sorted(task.run)) for task in instance.tasks}
    order = chance.sample(list(lanes), len(lanes))
    parts = {task: chance.random() + 1e-3 for task in lanes if lanes[task] != LOCAL}
    share = {task: part / sum(parts.values()) for task, part in parts.items()}
    divided = shares_timeline(instance, lanes, order, share).makespan_s
    assert plan(instance).makespan_s <= divided * (1 + 1e-9) + 1e-9


@settings(max_examples=60, deadline=None, derandomize=True)
@given(instances(chains=False, half=False))
def test_shares_never_win_and_keep_what_binds_a_plan(instance: Instance) -> None:
    found, shares = plan_shares(instance)
    timeline = shares_timeline(instance, found.lane, found.order, shares)
    assert timeline.makespan_s == pytest.approx(found.makespan_s, abs=1e-9)
    for task in instance.tasks:
        assert found.lane[task.id] in task.run
    for link in {worker.link_id for worker in instance.workers}:
        users = [t for t in shares if instance.worker[found.lane[t]].link_id == link]
        assert not users or sum(shares[t] for t in users) == pytest.approx(1.0)
    assert set(shares) == {task for task, lane in found.lane.items() if lane != LOCAL}
    ordered = plan(instance)
    assert ordered.makespan_s <= found.makespan_s * CLOSE + 1e-9  # where a search may stop
    if ordered.method == "exact":
        assert ordered.makespan_s <= found.makespan_s * (1 + 1e-9) + 1e-9
