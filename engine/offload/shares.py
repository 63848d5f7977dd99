"""The other way to use a link: each condition has a fixed share of it for the whole run.

What the paper allots (arXiv 2605.08836, abstract): every offloaded task its part of the
bandwidth. An input is sent at the shares of all its users on that worker together, so that a
photo which all of them need goes up once, at the full rate; several inputs of one task divide
its share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from ..errors import BadInput
from .instance import LOCAL, Instance, Worker
from .passes import serve
from .plan import Plan
from .planner import plan
from .timeline import Span, Timeline

HALVINGS = 60
Shares = Mapping[str, float]


def plan_shares(instance: Instance) -> tuple[Plan, dict[str, float]]:
    """A plan whose transfers all run at once at fixed shares, and the share of each task.

    Lanes are those of the best order, changed one by one while that helps.

    Raises:
        BadInput: a task needs another's hint.
    """
    if instance.chained:
        raise BadInput("bandwidth", "shares", "choose full where a condition needs another's hint")
    found = plan(instance)

    def cost(lane: Mapping[str, str]) -> float:
        shares = best_shares(instance, lane, found.order)
        return shares_timeline(instance, lane, found.order, shares).makespan_s

    lanes = _descend(instance, dict(found.lane), cost)
    edge = {
        task.id: next((lane for lane in sorted(task.run) if lane != LOCAL), LOCAL)
        for task in instance.tasks
    }
    all_edge = None if found.all_edge_s is None else cost(edge)
    trivial = [(seconds, trial) for trial in _trivial(instance, edge) for seconds in [cost(trial)]]
    best_s, best = min([(cost(lanes), lanes), *trivial], key=lambda entry: entry[0])
    made = replace(
        found,
        lane=best,
        makespan_s=best_s,
        method="search",
        lower_bound_s=min(found.lower_bound_s, best_s),
        all_edge_s=all_edge,
    )
    return made, best_shares(instance, best, found.order)


def _trivial(instance: Instance, edge: dict[str, str]) -> list[dict[str, str]]:
    here = {t.id: LOCAL if LOCAL in t.run else edge[t.id] for t in instance.tasks}
    return [here, edge]


def _descend(
    instance: Instance, lanes: dict[str, str], cost: Callable[[Mapping[str, str]], float]
) -> dict[str, str]:
    best, better = cost(lanes), True
    while better:
        better = False
        for task in instance.tasks:
            for lane in sorted(task.run):
                trial = {**lanes, task.id: lane}
                seconds = cost(trial)
                if seconds < best - 1e-9:
                    lanes, best, better = trial, seconds, True
    return lanes


def best_shares(
    instance: Instance, lane: Mapping[str, str], order: Sequence[str]
) -> dict[str, float]:
    """The share of its link for each task on a worker: the best known of a few divisions.

    Notes:
        Where all tasks of a link share their photos the last is exact: runs do not hang on shares
        then, and to be home at T a task that ends at e needs bytes / (rate * (T - latency - e)).
        T is halved until these sum up to 1.
    """
    links: dict[str, list[str]] = {}
    for task in order:
        if lane[task] != LOCAL:
            links.setdefault(instance.worker[lane[task]].link_id, []).append(task)
    trials: list[dict[str, float]] = [{}, {}, {}]
    for tasks in links.values():
        needed = {task: _link_s(instance, lane, task) for task in tasks}
        for trial, parts in zip(
            trials,
            (
                dict.fromkeys(tasks, 1.0),
                {task: seconds + 1e-9 for task, seconds in needed.items()},
                _by_deadline(instance, lane, order, tasks),
            ),
            strict=True,
        ):
            trial.update({task: part / sum(parts.values()) for task, part in parts.items()})
    return min(trials, key=lambda shares: shares_timeline(instance, lane, order, shares).makespan_s)


def _link_s(instance: Instance, lane: Mapping[str, str], task: str) -> float:
    """Seconds of a task's own transfers at the full rate."""
    worker = instance.worker[lane[task]]
    users = [name for name in lane if lane[name] == lane[task]]
    up = sum(
        item.bytes_to(worker.id)
        / sum(1 for name in users if item.id in instance.task[name].needs)
        / worker.up_bytes_per_s
        for item in instance.inputs
        if item.id in instance.task[task].needs and worker.id not in item.at
    )
    return up + instance.task[task].out_bytes / worker.down_bytes_per_s


def _by_deadline(
    instance: Instance, lane: Mapping[str, str], order: Sequence[str], tasks: Sequence[str]
) -> dict[str, float]:
    equal = {task: 1 / len(tasks) for task in tasks}
    rest = {task: 1.0 for task in lane if lane[task] != LOCAL and task not in equal}
    ends = _run_ends(instance, lane, order, {**rest, **equal})
    seconds = {
        task: instance.task[task].out_bytes / instance.worker[lane[task]].down_bytes_per_s
        for task in tasks
    }
    low = max(ends[task] + seconds[task] for task in tasks)
    high = max(ends[task] for task in tasks) + sum(seconds.values())
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        fits = all(middle > ends[task] for task in tasks) and (
            sum(seconds[task] / (middle - ends[task]) for task in tasks) <= 1
        )
        low, high = (low, middle) if fits else (middle, high)
    return {task: seconds[task] / max(high - ends[task], 1e-9) + 1e-12 for task in tasks}


def shares_timeline(
    instance: Instance, lane: Mapping[str, str], order: Sequence[str], share: Shares
) -> Timeline:
    """What happens when; `share`: of up- and downlink, for each task on a worker."""
    spans = _here(instance, lane, order)
    homes = [span.end_s for span in spans]
    for worker in instance.workers:
        ups, ends = _at(instance, worker, lane, order, share)
        spans += ups
        for task, end in ends.items():
            run = Span(task, worker.id, "run", end - instance.task[task].run[worker.id], end)
            seconds = instance.task[task].out_bytes / (share[task] * worker.down_bytes_per_s)
            spans += [run, Span(task, worker.id, "down", end, end + seconds)]
            homes.append(end + seconds + worker.latency_s)
    spans.sort(key=lambda span: (span.start_s, span.end_s, span.lane, span.kind, span.what))
    return Timeline(max(homes, default=0.0), tuple(spans))


def _here(instance: Instance, lane: Mapping[str, str], order: Sequence[str]) -> list[Span]:
    tasks = [task for task in order if lane[task] == LOCAL]
    seconds = [instance.task[task].run[LOCAL] for task in tasks]
    jobs = [(0.0, number) for number in range(len(tasks))]
    served = serve(jobs, seconds, instance.local.slots, instance.local.ready_s)
    return [Span(tasks[n], LOCAL, "run", end - seconds[n], end) for end, n in served]


def _run_ends(
    instance: Instance, lane: Mapping[str, str], order: Sequence[str], share: Shares
) -> dict[str, float]:
    """When each task on a worker has run."""
    found: dict[str, float] = {}
    for worker in instance.workers:
        found |= _at(instance, worker, lane, order, share)[1]
    return found


def _at(
    instance: Instance,
    worker: Worker,
    lane: Mapping[str, str],
    order: Sequence[str],
    share: Shares,
) -> tuple[list[Span], dict[str, float]]:
    """Uploads to one worker, and when its tasks have run."""
    tasks = [task for task in order if lane[task] == worker.id]
    parts: dict[str, float] = {}
    for task in tasks:
        sent = [n for n in instance.task[task].needs if worker.id not in instance.input[n].at]
        for need in sent:  # several pictures of one task divide its share
            parts[need] = parts.get(need, 0.0) + share[task] / len(sent)
    ups: dict[str, Span] = {}
    for need, part in parts.items():
        item = instance.input[need]
        seconds = item.bytes_to(worker.id) / (min(part, 1.0) * worker.up_bytes_per_s)
        ups[need] = Span(need, worker.id, "up", item.prepare_s, item.prepare_s + seconds)
    jobs = [
        (
            max(
                (ups[n].end_s + worker.latency_s for n in instance.task[task].needs if n in ups),
                default=0.0,
            ),
            number,
        )
        for number, task in enumerate(tasks)
    ]
    runs = [instance.task[task].run[worker.id] for task in tasks]
    served = serve(jobs, runs, worker.slots, worker.ready_s)
    return list(ups.values()), {tasks[number]: end for end, number in served}
