"""Conditions brought into the planner's form: who can run what, at what price."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import starmap

from ..conditions import Condition, Photo
from ..errors import BadInput
from .able import Able, Answers, ask
from .client import Capabilities
from .costs import Costs, encode_s, photo_bytes
from .instance import LOCAL, Input, Instance, Task, Worker
from .kept import Kept, KeptHints
from .plan import Plan
from .planner import plan
from .prices import Prices
from .probe import probe_links
from .profile import Profile
from .room import Room
from .shares import plan_shares, shares_timeline
from .simulate import simulate
from .timeline import Timeline, what_decides
from .workers import WorkerEntry

WAYS = ("up", "down")
BANDWIDTH = ("full", "shares")  # how a link is used


@dataclass(frozen=True, eq=False)
class Offload:
    """A plan together with what it is about: what the node TandemPlanOffload hands on."""

    conditions: tuple[Condition, ...]
    workers: tuple[WorkerEntry, ...]  # those of the plan
    instance: Instance
    plan: Plan
    notes: tuple[str, ...]
    priors: Mapping[str, Mapping[str, float]]  # seconds of task and lane before any correction
    starts: Mapping[str, str]  # each lane's name for its present start: it forgets with it
    ready: Mapping[str, Kept] = field(default_factory=dict[str, Kept])  # made before: no task
    accounts: Mapping[str, str] = field(default_factory=dict[str, str])  # where lanes' runs count
    rough: tuple[str, ...] = ()  # what was planned by a price alone
    shares: Mapping[str, float] = field(default_factory=dict[str, float])  # of the link, by task
    spreads: Mapping[str, float] = field(default_factory=dict[str, float])  # of links, by worker
    sources: Mapping[str, str] = field(default_factory=dict[str, str])  # of tasks made of a hint
    ways: Mapping[str, Mapping[str, float]] = field(  # seconds of their hints' ways, in their runs
        default_factory=dict[str, Mapping[str, float]]
    )

    @property
    def decides(self) -> str:
        """What the makespan hangs on: the hint that is home last, and what is busiest."""
        return what_decides(self.timeline())

    def timeline(self) -> Timeline:
        """What the plan does when."""
        if self.shares:
            return shares_timeline(self.instance, self.plan.lane, self.plan.order, self.shares)
        return simulate(self.instance, self.plan)

    def way_s(self, task: str, lane: str) -> float:
        """Seconds of a task's run in the plan that bring the hint that it looks at to the lane."""
        return self.ways.get(task, {}).get(lane, 0.0)

    def computing_s(self, task: str, lane: str) -> float:
        """What a lane is expected to take for a task, with loading and without transfers."""
        return self.instance.task[task].run[lane] - self.way_s(task, lane)

    def up_bytes_per_s(self, lane: str, photo: str) -> float | None:
        """The rate at which a photo is to be sent: its users' shares; None: the link's own."""
        if not self.shares:
            return None
        parts = [
            share
            for task, share in self.shares.items()
            if self.plan.lane[task] == lane and photo in self.instance.task[task].needs
        ]
        share = min(1.0, sum(parts)) if parts else min(self.shares.values())
        return share * self.instance.worker[lane].up_bytes_per_s

    def down_bytes_per_s(self, lane: str, task: str) -> float | None:
        """The same for a hint; one that was not planned there has the least share of all."""
        if not self.shares:
            return None
        share = self.shares.get(task, min(self.shares.values()))
        return share * self.instance.worker[lane].down_bytes_per_s

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of all conditions, also of those that are ready."""
        return tuple(starmap(task_id, enumerate(self.conditions)))

    def sent_as(self, task: str, photo: Photo) -> str:
        """What a picture that a task looks at is called in timelines."""
        source = self.sources.get(task, "")
        return source if source in self.instance.task else photo.sha256

    def condition(self, task: str) -> Condition:
        return self.conditions[int(task.partition(":")[0])]

    @property
    def summary(self) -> str:
        """What runs where: a Markdown list, which the editor's text preview reads."""
        lanes = {**dict.fromkeys(self.ready, "made before"), **self.plan.lane}
        lines = [f"{task}: {lanes[task]}" for task in self.tasks]
        if self.decides:
            lines.append(self.decides)
        lines += [
            f"{one.id}: up {one.up_bytes_per_s / 1e6:.3g}, down {one.down_bytes_per_s / 1e6:.3g} "
            f"MB/s, give or take {100 * self.spreads[one.id]:.0f} %"
            for one in self.instance.workers
        ]
        if self.rough:
            lines.append(f"rough figures, nothing measured yet: {', '.join(self.rough)}")
        told = [f"- {line}" for line in (*lines, *self.notes)]
        return "\n".join([f"predicted {self.plan.makespan_s:.2f} s", *told])


def task_id(index: int, condition: Condition) -> str:
    return f"{index}:{condition.request.detector}"


def plan_conditions(
    conditions: Sequence[Condition],
    workers: Sequence[WorkerEntry],
    costs: Costs,
    kept: KeptHints | None = None,
    profiles: Mapping[str, Profile] | None = None,
    bandwidth: str = "full",
    room_bytes: float | None = None,
) -> Offload:
    """Asks the workers what they can do and plans what runs where.

    What is among the `kept` hints is left out of the plan. A lane of `profiles` is planned by that
    instead of its own. `bandwidth`: "full" sends one thing at a time over a link, "shares" gives
    each condition a fixed part of it. `room_bytes`: what is free of this machine's memory for
    networks that are not loaded yet; None: not known. No worker hears anything if all conditions
    are pinned to this machine.

    Raises:
        Unavailable: no lane can run a condition: a worker, a package or weights are missing.
        BadInput: an unknown detector, or one that looks at a hint which is not in the chain.
    """
    may_leave = any(condition.where != "this machine" for condition in conditions)
    answers, reasons = ask(list(dict.fromkeys(workers)) if may_leave else [])
    starts = {LOCAL: "", **{entry.alias: can.instance for entry, can in answers}}
    named = {task_id(index, condition): condition for index, condition in enumerate(conditions)}
    sources = _sources(named)
    ready, left = _made_before(named, sources, kept, starts)
    prices = Prices(costs, profiles or {}, starts)
    able = Able(answers, prices, Room(room_bytes))
    priors = {name: _priors(condition, able) for name, condition in left.items()}
    if left:
        probe_links(answers, costs)
    links = {entry.alias: _worker(entry, can, costs) for entry, can in answers}
    tasks: list[Task] = []
    ways: dict[str, dict[str, float]] = {}
    for (name, seconds), condition in zip(priors.items(), left.values(), strict=True):
        if not seconds:
            raise able.nowhere(name, condition, reasons)
        if (why := able.here_not(condition)) is not None:
            reasons.append(f"{name} {why}")
        task = _task(name, condition, seconds, prices)
        if condition.source is not None:
            ways[name] = _ways(task, prices.hint_bytes(condition.source), links)
            task = _after(task, sources[name], ways[name])
        tasks.append(task)
    theirs = {alias: [left[task.id] for task in tasks if alias in task.run] for alias in links}
    used = [(entry, can) for entry, can in answers if theirs[entry.alias]]
    workers_used = tuple(
        replace(links[entry.alias], slots=able.slots(entry, can, theirs[entry.alias]))
        for entry, can in used
    )
    inputs = _inputs(left.values(), used, costs)
    instance = Instance(tuple(tasks), inputs, workers=workers_used)
    made, shares = plan_shares(instance) if bandwidth == "shares" else (plan(instance), {})
    return Offload(
        tuple(conditions),
        tuple(entry for entry, _ in used),
        instance,
        made,
        tuple(reasons),
        priors,
        starts,
        ready,
        {lane: prices.account(lane) for lane in starts},
        tuple(_rough(left.values(), able)),
        shares,
        {one.id: max(costs.link(one.id, way, 0.0).spread for way in WAYS) for one in workers_used},
        sources,
        ways,
    )


def _sources(named: Mapping[str, Condition]) -> dict[str, str]:
    """Which task makes the hint that a task looks at."""
    names = {id(condition): name for name, condition in named.items()}
    found: dict[str, str] = {}
    for name, condition in named.items():
        if condition.source is not None:
            source = names.get(id(condition.source))
            if source is None:
                do = "chain the condition whose hint it takes before it"
                raise BadInput(f"source of {name}", condition.source.request.detector, do)
            found[name] = source
    return found


def _made_before(
    named: Mapping[str, Condition],
    sources: Mapping[str, str],
    kept: KeptHints | None,
    starts: Mapping[str, str],
) -> tuple[dict[str, Kept], dict[str, Condition]]:
    """Hints that are there, and what is left to make; of a hint that is there like of a photo."""
    ready: dict[str, Kept] = {}
    left: dict[str, Condition] = {}
    for name, condition in named.items():
        if (source := sources.get(name)) in ready:
            condition = condition.made_of(ready[source].pictures)
        waits = condition.source is not None  # what it looks at is still to be made
        found = None if kept is None or waits else kept.find(condition, starts)
        if found is None:
            left[name] = condition
        else:
            ready[name] = found
    return ready, left


def _priors(condition: Condition, able: Able) -> dict[str, float]:
    """Seconds on each lane that may and can run it, before any correction."""
    lanes = able.lanes(condition)
    return {lane: able.prices.prior_s(lane, condition, can) for lane, can in lanes}


def _rough(conditions: Iterable[Condition], able: Able) -> list[str]:
    """Detectors and lanes of which only a price is known."""
    found = [
        f"{condition.request.detector} on {lane}"
        for condition in conditions
        for lane, can in able.lanes(condition)
        if able.prices.is_rough(lane, condition, can)
    ]
    return list(dict.fromkeys(found))


def _task(name: str, condition: Condition, priors: Mapping[str, float], prices: Prices) -> Task:
    run = {lane: prices.run_s(lane, condition, seconds) for lane, seconds in priors.items()}
    needs = tuple(dict.fromkeys(photo.sha256 for photo in condition.photos))
    return Task(name, needs, run, prices.hint_bytes(condition))


def _ways(task: Task, size: float, links: Mapping[str, Worker]) -> dict[str, float]:
    """Seconds that the hint it looks at takes home and to each worker that may run a task."""
    return {
        lane: size / link.down_bytes_per_s + size / link.up_bytes_per_s + 2 * link.latency_s
        for lane, link in links.items()
        if lane in task.run
    }


def _after(task: Task, source: str, way_s: Mapping[str, float]) -> Task:
    """A task that looks at another's hint. That always comes home first, and goes up from here.

    The model lets it stay where it was made: so its way home and back is part of the run there.
    """
    run = {lane: seconds + way_s.get(lane, 0.0) for lane, seconds in task.run.items()}
    return replace(task, needs=(source,), run=run)


def _inputs(conditions: Iterable[Condition], used: Answers, costs: Costs) -> tuple[Input, ...]:
    photos = {photo.sha256: photo for condition in conditions for photo in condition.photos}

    def at(photo: Photo) -> tuple[str, ...]:
        return tuple(
            entry.alias for entry, can in used if costs.holds(entry.alias, can.instance, photo)
        )

    def lossy(photo: Photo) -> dict[str, float]:
        return {entry.alias: photo_bytes(photo, lossy=True) for entry, _ in used if entry.lossy}

    return tuple(
        Input(sha, photo_bytes(photo), encode_s(photo), at(photo), lossy(photo))
        for sha, photo in photos.items()
    )


def _worker(entry: WorkerEntry, can: Capabilities, costs: Costs) -> Worker:
    up = costs.link(entry.alias, "up", can.round_trip_s / 2)
    down = costs.link(entry.alias, "down", can.round_trip_s / 2)
    return Worker(
        entry.alias,
        up.bytes_per_s,
        down.bytes_per_s,
        ready_s=can.expected_wait_s,
        latency_s=max(up.latency_s, down.latency_s),
    )
