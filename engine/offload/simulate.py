"""What a plan does, second by second: the rules of the model stand here and nowhere else.

1. A task runs on one lane, without interruption, once all it needs is there. Local tasks need no
   encoding.
2. An input is sent once to each worker that needs it, with the priority of its first user there.
3. A hint used elsewhere travels worker -> here (-> other worker); on the same worker it stays.
4. A link carries one upload and one download at a time; one of both if it is half duplex.
   Latency is added to a transfer and does not occupy the link.
5. Every lane and link takes the ready work of highest priority and never idles on purpose.
   Downloads that no other task waits for come last, in order of completion.
6. Inputs go over a link strictly by priority: one that is still being encoded is waited for, so
   that a plan can let a small urgent picture go before a large one. Of one task's inputs the
   soonest encoded goes first.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .instance import LOCAL, Instance, Task
from .plan import Plan
from .timeline import Kind, Span, Timeline

LAST = 1  # class of downloads that nobody waits for; all other work is of class 0


@dataclass(slots=True, eq=False)
class _Work:
    """A run or a transfer: what it occupies, and what it sets free."""

    what: str
    lane: str
    kind: Kind
    resource: str
    seconds: float
    rank: int
    urgency: int = 0
    delay: float = 0.0  # between its end and its effect
    waits: int = 0  # for so many others
    then: list[_Work] = field(default_factory=list["_Work"])
    end: float = 0.0  # with delay


def simulate(
    instance: Instance,
    plan: Plan,
    actual: Mapping[tuple[str, str], float] | None = None,
) -> Timeline:
    """The timeline of `plan`; `actual` replaces the seconds of single (task, lane) pairs.

    Raises:
        BadInput: the plan is not one of this instance.
    """
    plan.check(instance)
    return run_order(instance, plan.lane, plan.order, actual or {})


def run_order(
    instance: Instance,
    lane: Mapping[str, str],
    order: Sequence[str],
    actual: Mapping[tuple[str, str], float],
) -> Timeline:
    """As `simulate`, of parts that are known to fit."""
    works, released = _all_works(instance, lane, order, actual)
    spans = _serve(instance, works, released)
    home = [work.end for work in works if _brings_home(instance, work)]
    spans.sort(key=lambda span: (span.start_s, span.end_s, span.lane, span.kind, span.what))
    return Timeline(max(home, default=0.0), tuple(spans))


def _brings_home(instance: Instance, work: _Work) -> bool:
    if work.what not in instance.task or not instance.task[work.what].wanted:
        return False
    return work.kind == "down" or (work.kind == "run" and work.lane == LOCAL)


def _all_works(
    instance: Instance,
    lane: Mapping[str, str],
    order: Sequence[str],
    actual: Mapping[tuple[str, str], float],
) -> tuple[list[_Work], list[tuple[float, _Work]]]:
    """Runs and transfers, and those that can be released by the clock alone."""
    rank = {task: place for place, task in enumerate(order)}
    runs = {
        task: _Work(
            task,
            lane[task],
            "run",
            f"lane {lane[task]}",
            actual.get((task, lane[task]), instance.task[task].run[lane[task]]),
            rank[task],
        )
        for task in order
    }
    works = list(runs.values())
    released: list[tuple[float, _Work]] = []
    ups: dict[tuple[str, str], _Work] = {}
    downs: dict[str, _Work] = {}
    encoded: dict[str, float] = {}  # link: all inputs so far

    def down(task: str) -> _Work:
        if task not in downs:
            worker = instance.worker[lane[task]]
            seconds = instance.task[task].out_bytes / worker.down_bytes_per_s
            work = _transfer(instance, worker.id, "down", task, seconds, rank[task])
            work.urgency = LAST
            downs[task] = work
            works.append(work)
            _after(runs[task], work)
        return downs[task]

    def up(what: str, worker_id: str, user: str) -> _Work:
        """The upload of an input or a hint; users come by rising rank."""
        if (what, worker_id) not in ups:
            worker = instance.worker[worker_id]
            item = instance.input.get(what)
            size = item.bytes_to(worker_id) if item else instance.task[what].out_bytes
            seconds = size / worker.up_bytes_per_s
            work = _transfer(instance, worker_id, "up", what, seconds, rank[user])
            ups[what, worker_id] = work
            works.append(work)
            if item:
                encoded[work.resource] = max(encoded.get(work.resource, 0.0), item.prepare_s)
                released.append((encoded[work.resource], work))
            else:
                _after(runs[what] if lane[what] == LOCAL else wait_for(what, user), work)
        return ups[what, worker_id]

    def wait_for(task: str, user: str) -> _Work:
        """The download of a hint that `user` waits for; users come by rising rank."""
        work = down(task)
        if work.urgency == LAST:
            work.urgency, work.rank = 0, rank[user]
        return work

    for task in order:  # by rank, so that the first user sets the priority
        place = lane[task]
        for need in by_encoding(instance, instance.task[task]):
            if need in instance.input:
                if place != LOCAL and place not in instance.input[need].at:
                    _after(up(need, place, task), runs[task])
            elif lane[need] == place:
                _after(runs[need], runs[task])
            elif place == LOCAL:
                _after(wait_for(need, task), runs[task])
            else:
                _after(up(need, place, task), runs[task])
        if place != LOCAL and instance.task[task].wanted:
            down(task)
    released += [(0.0, run) for run in runs.values() if not run.waits]
    return works, released


def by_encoding(instance: Instance, task: Task) -> list[str]:
    """What a task needs, the soonest encoded first."""

    def ready(need: str) -> tuple[float, str]:
        return (instance.input[need].prepare_s if need in instance.input else 0.0, need)

    return sorted(task.needs, key=ready)


def _transfer(
    instance: Instance, worker_id: str, kind: Kind, what: str, seconds: float, rank: int
) -> _Work:
    worker = instance.worker[worker_id]
    resource = f"link {worker.link_id}"
    if not instance.is_half_duplex(worker.link_id):
        resource += f" {kind}"
    return _Work(what, worker_id, kind, resource, seconds, rank, delay=worker.latency_s)


def _after(first: _Work, second: _Work) -> None:
    first.then.append(second)
    second.waits += 1


def _serve(
    instance: Instance, works: list[_Work], released: list[tuple[float, _Work]]
) -> list[Span]:
    """Runs the clock; sets `end` of each work."""
    endless = len(works) + 1
    free = {work.resource: 1 for work in works}
    opens: dict[str, float] = {}
    for name, lane in ((LOCAL, instance.local), *instance.worker.items()):
        free[f"lane {name}"] = lane.slots or endless
        opens[f"lane {name}"] = lane.ready_s
    queues: dict[str, list[tuple[int, float, int, int]]] = {name: [] for name in free}
    place = {id(work): number for number, work in enumerate(works)}
    spans: list[Span] = []

    # (time, number of the work or -1, what happens to it, resource)
    events: list[tuple[float, int, str, str]] = []
    for time, work in released:
        events.append((time, place[id(work)], "ready", work.resource))
    for name, time in opens.items():
        events.append((time, -1, "open", name))
    heapq.heapify(events)

    while events:
        now = events[0][0]
        touched: dict[str, None] = {}
        while events and events[0][0] == now:
            _, number, kind, resource = heapq.heappop(events)
            touched[resource] = None
            if kind == "end":
                free[resource] += 1
            elif kind == "ready":
                work = works[number]
                arrived = now if work.urgency == LAST else 0.0
                entry = (work.urgency, arrived, work.rank, number)
                heapq.heappush(queues[resource], entry)
            elif kind == "effect":
                for later in works[number].then:
                    later.waits -= 1
                    if not later.waits:
                        name = later.resource
                        heapq.heappush(events, (now, place[id(later)], "ready", name))
        for resource in touched:
            if now < opens.get(resource, 0.0):
                continue
            queue = queues[resource]
            while queue and free[resource]:
                number = heapq.heappop(queue)[-1]
                work = works[number]
                free[resource] -= 1
                end = now + work.seconds
                work.end = end + work.delay
                spans.append(Span(work.what, work.lane, work.kind, now, end))
                heapq.heappush(events, (end, number, "end", resource))
                heapq.heappush(events, (work.end, number, "effect", resource))
    return spans
