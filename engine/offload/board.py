"""Who takes which task next while a plan runs: late binding, stealing, eager copies.

Pure decisions with the clock handed in: `lanes.py` asks for threads, a benchmark for a simulated
run. Times are seconds since the run began.

Notes:
    A lane takes its own tasks in the plan's order, a worker at most one more than it has slots, so
    that what has not begun stays free to move. A lane with nothing left takes over a task that
    has not begun where that ends sooner, else runs a second copy of one that has: the first
    result wins. What lanes are expected to take follows what they took in this run. A worker that
    was overdue when another lane finished for it is late with all it has, and takes over nothing
    that has not begun, until something comes home from it: else each of its tasks would be waited
    for anew.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .instance import LOCAL, Instance
from .outlook import MOST_REQUESTS, Job, Outlook, slots
from .plan import Plan


def places(instance: Instance, lane: str) -> int:
    """Most jobs that a lane has at once: on a worker, one waits where the next begins."""
    count = slots(instance, lane)
    if not count:
        return min(MOST_REQUESTS, max(1, len(instance.tasks)))
    return count if lane == LOCAL else count + 1


@dataclass
class Board:
    """State of one run. Not thread-safe: hold a lock around every call."""

    instance: Instance
    plan: Plan
    queues: dict[str, list[str]] = field(init=False)
    outlook: Outlook = field(init=False)
    home: dict[str, Job] = field(init=False, default_factory=dict[str, Job])
    closed: dict[str, str] = field(init=False, default_factory=dict[str, str])  # lane: reason
    moved: set[str] = field(init=False, default_factory=set[str])  # from a closed lane
    _barred: dict[str, set[str]] = field(init=False, default_factory=dict[str, set[str]])

    def __post_init__(self) -> None:
        self.outlook = Outlook(self.instance)
        self.queues = {lane: [] for lane in (LOCAL, *self.instance.worker)}
        for task in self.plan.order:
            self.queues[self.plan.lane[task]].append(task)

    @property
    def finished(self) -> bool:
        return len(self.home) == len(self.instance.tasks)

    @property
    def running(self) -> list[Job]:
        return self.outlook.running

    def take(self, lane: str, now: float) -> Job | None:
        """The next job of a lane, or None while there is nothing worth doing there."""
        load = len(self.outlook.jobs(lane))
        if lane in self.closed or load >= places(self.instance, lane):
            return None
        task = next((name for name in self.queues[lane] if self.can_begin(name)), None)
        if task is not None:
            self._unqueue(task)
            return self._start(task, lane, now, "moved" if task in self.moved else "plan")
        found = self.to_steal(lane, now)
        if found:
            self._unqueue(found)
            return self._start(found, lane, now, "stolen")
        if load < (slots(self.instance, lane) or MOST_REQUESTS):
            copy = self.to_copy(lane, now)
            return self._start(copy[0], lane, now, copy[1]) if copy else None
        return None

    def can_begin(self, task: str) -> bool:
        """Whether the hints that it looks at are home."""
        needs = self.instance.task[task].needs
        return all(need in self.home or need in self.instance.input for need in needs)

    def skip(self, task: str, lane: str) -> None:
        """A task is home before the run begins: `lane` made its hint earlier."""
        self.home[task] = Job(task, lane, 0.0, "kept")
        self._unqueue(task)

    def arrived(self, job: Job, run_s: float, now: float) -> bool:
        """A result is here; False if another copy was first. `run_s`: without transfers."""
        self.outlook.end(job, now)
        self.outlook.took(job, run_s)
        if job.task in self.home:
            return False
        self.home[job.task] = job
        self._unqueue(job.task)
        return True

    def dropped(self, job: Job, now: float) -> None:
        """A job ended without a result, because it was told to."""
        self.outlook.given_up(job, now)

    def close(self, lane: str, reason: str, now: float) -> list[str]:
        """No more work for a worker: what it has not brought home goes to other lanes.

        Returns:
            The tasks that no open lane can run.
        """
        self.closed.setdefault(lane, reason)
        left = [job.task for job in self.outlook.jobs(lane)]
        for job in self.outlook.jobs(lane):
            self.outlook.end(job, now)
        left += self.queues[lane]
        self.queues[lane] = []
        return [task for task in left if not self._move(task, now)]

    def refused(self, job: Job, now: float) -> bool:
        """One lane cannot do one task; whether another may."""
        self.outlook.end(job, now)
        self._barred.setdefault(job.task, set()).add(job.lane)
        return self._move(job.task, now)

    def rivals(self, task: str) -> list[Job]:
        """Jobs on a task, of any lane."""
        return [job for job in self.running if job.task == task]

    def _start(self, task: str, lane: str, now: float, why: str) -> Job:
        job = Job(task, lane, now, why)
        self.outlook.start(job)
        return job

    def _unqueue(self, task: str) -> None:
        for queue in self.queues.values():
            if task in queue:
                queue.remove(task)

    def _move(self, task: str, now: float) -> bool:
        """Finds a lane for a task that lost its own; True if it is or will be home."""
        if task in self.home or self.rivals(task):
            return True
        able = [lane for lane in self.instance.task[task].run if self._may(lane, task)]
        if not able:
            return False
        self._unqueue(task)
        self.moved.add(task)
        if LOCAL in able:
            lane = LOCAL
        else:
            lane = min(able, key=lambda lane: (self._queue_end(lane, now), lane))
        self.queues[lane].append(task)
        return True

    def _may(self, lane: str, task: str) -> bool:
        return (
            lane in self.instance.task[task].run
            and lane not in self.closed
            and lane not in self._barred.get(task, ())
        )

    def _queue_end(self, lane: str, now: float) -> float:
        return self.outlook.queue_end(lane, self.queues[lane], now)

    # --- taking over

    def to_steal(self, lane: str, now: float) -> str | None:
        """The task of another lane's queue that is best taken over, if it ends sooner here."""
        if lane in self.outlook.late:
            return None
        found: list[tuple[float, str]] = []
        for other, queue in self.queues.items():
            if other == lane or not queue:
                continue
            other_end = self._queue_end(other, now)
            for name in queue:
                task = self.instance.task[name]
                free = self._may(lane, name) and self.can_begin(name)
                if free and self.outlook.expected(task, lane, now) < other_end:
                    worth = task.run[lane]
                    if lane != LOCAL:  # what it gains most on; here, what is over soonest
                        worth = -task.run[other] / max(task.run[lane], 1e-12)
                    found.append((worth, name))
        return min(found)[1] if found else None

    def to_copy(self, lane: str, now: float) -> tuple[str, str] | None:
        """A task that another lane is at and that is worth a second run, and why."""
        found: list[tuple[float, str, str]] = []
        for other in self.queues:
            if other == lane:
                continue
            for job, end in self.outlook.ends(other, now)[0].items():
                mine = any(rival.lane == lane for rival in self.rivals(job.task))
                needless = mine or job.task in self.home  # this run of it is only not stopped yet
                if needless or not self._may(lane, job.task):
                    continue
                task = self.instance.task[job.task]
                expected = self.outlook.expected(task, lane, now)
                if self.outlook.is_overdue(job, now):
                    found.append((expected, job.task, "late"))
                elif other == LOCAL:
                    if expected < job.start_s + 2 * task.run[LOCAL]:
                        found.append((expected, job.task, "copy"))
                elif expected < end:
                    found.append((expected, job.task, "copy"))
        return min(found)[1:] if found else None
