"""When what runs and waits on a lane is expected home, by the plan and by what this run showed."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

from .instance import LOCAL, Instance, Task

LEAST_FACTOR, MOST_FACTOR = 0.5, 1.6  # of a lane's speed: one cold model must not mislead the rest
PRIOR_SHARE = 0.7  # of a mean task: how much belief the plan's own figure gets
OVERDUE = 1.5  # times the predicted time
OVERDUE_LEAST_S = 0.5  # and at least this late: a busy machine is no reason to run things twice
MOST_REQUESTS = 8  # at a time, to a worker that runs all at once


@dataclass(frozen=True, eq=False)
class Job:
    """A task given to a lane."""

    task: str
    lane: str
    start_s: float
    why: str = "plan"  # plan, stolen, copy (predicted to win), late (other is overdue), moved, kept


def slots(instance: Instance, lane: str) -> int:
    """Tasks that a lane runs at a time; 0: all at once."""
    return instance.local.slots if lane == LOCAL else instance.worker[lane].slots


@dataclass
class Outlook:
    """What lanes have running, since when, and how fast they turned out."""

    instance: Instance
    running: list[Job] = field(default_factory=list[Job])
    late: set[str] = field(default_factory=set[str])  # overdue when given up, nothing home since
    _begun: dict[Job, float] = field(default_factory=dict[Job, float])  # as far as we can tell
    _took: dict[str, list[tuple[float, float]]] = field(
        default_factory=dict[str, list[tuple[float, float]]]
    )  # predicted, actual
    _sent: dict[tuple[str, str], float] = field(default_factory=dict[tuple[str, str], float])

    def start(self, job: Job) -> None:
        self.running.append(job)
        self._begin(job.lane, job.start_s)

    def end(self, job: Job, now: float) -> None:
        if job in self.running:
            self.running.remove(job)
            self._begin(job.lane, now)

    def given_up(self, job: Job, now: float) -> None:
        """A job ends without a result."""
        if job in self.running and self.is_overdue(job, now):
            self.late.add(job.lane)
        self.end(job, now)

    def took(self, job: Job, run_s: float) -> None:
        self.late.discard(job.lane)
        self._took.setdefault(job.lane, []).append((self._predicted(job), run_s))

    def sent(self, lane: str, input_id: str, now: float) -> None:
        """An input is on a worker now."""
        self._sent.setdefault((lane, input_id), now)

    def holds(self, lane: str, input_id: str) -> bool:
        item = self.instance.input.get(input_id)  # None: a hint, sent as a picture to look at
        return (lane, input_id) in self._sent or (item is not None and lane in item.at)

    def jobs(self, lane: str) -> list[Job]:
        return [job for job in self.running if job.lane == lane]

    def factor(self, lane: str, now: float) -> float:
        """How much slower than planned a lane turns out, by finished and overdue tasks."""
        times = [task.run[lane] for task in self.instance.tasks if lane in task.run]
        prior = PRIOR_SHARE * sum(times) / max(len(times), 1)
        pairs = list(self._took.get(lane, []))
        for job in self.jobs(lane):
            if job in self._begun:
                elapsed = now - self._service(job)
                if elapsed > self._predicted(job):
                    pairs.append((self._predicted(job), elapsed))
        predicted = prior + sum(pair[0] for pair in pairs)
        actual = prior + sum(pair[1] for pair in pairs)
        if predicted <= 0:
            return 1.0
        return min(max(actual / predicted, LEAST_FACTOR), MOST_FACTOR)

    def ends(self, lane: str, now: float) -> tuple[dict[Job, float], list[float]]:
        """When each running job of a lane is expected home, and when its slots are free."""
        clocks = [0.0] * (slots(self.instance, lane) or len(self.instance.tasks) + 1)
        factor = self.factor(lane, now)
        found: dict[Job, float] = {}
        for job in self.jobs(lane):
            task = self.instance.task[job.task]
            begin = max(heapq.heappop(clocks), self._service(job))
            end = max(begin + factor * self._predicted(job), now)
            heapq.heappush(clocks, end)
            found[job] = max(end + self._home_s(lane, task), now)
        return found, [max(clock, now) for clock in clocks]

    def expected(self, task: Task, lane: str, now: float) -> float:
        """When a task would be home if the lane took it after what it has running."""
        _, clocks = self.ends(lane, now)
        begin = max(min(clocks), now + self._upload_s(lane, task))
        return begin + self.factor(lane, now) * task.run[lane] + self._home_s(lane, task)

    def queue_end(self, lane: str, queue: list[str], now: float) -> float:
        """When all that a lane has running and waiting is expected home."""
        ends, clocks = self.ends(lane, now)
        factor = self.factor(lane, now)
        last = max(ends.values(), default=now)
        heapq.heapify(clocks)
        for name in queue:
            task = self.instance.task[name]
            end = heapq.heappop(clocks) + factor * task.run[lane]
            heapq.heappush(clocks, end)
            last = max(last, end + self._home_s(lane, task))
        return last

    def waits(self, job: Job) -> bool:
        """Whether others are before it at its worker."""
        return job not in self._begun

    def is_overdue(self, job: Job, now: float) -> bool:
        """Whether a worker is far behind with a job, or with one that is before it."""
        if job.lane == LOCAL:
            return False
        if job.lane in self.late:
            return True
        if job not in self._begun:
            return any(
                self.is_overdue(each, now) for each in self.jobs(job.lane) if each in self._begun
            )
        predicted = self._predicted(job) + self._home_s(job.lane, self.instance.task[job.task])
        late = now - self._service(job) - predicted
        return late > max(OVERDUE_LEAST_S, (OVERDUE - 1) * predicted)

    # --- how it is reckoned

    def _begin(self, lane: str, now: float) -> None:
        """The first jobs of a lane are at work, the next waits until one of them is home."""
        for job in self.jobs(lane)[: slots(self.instance, lane) or None]:
            self._begun.setdefault(job, now)

    def _predicted(self, job: Job) -> float:
        return self.instance.task[job.task].run[job.lane]

    def _service(self, job: Job) -> float:
        """When a job has begun, or could: not before what it needs is there."""
        begun = self._begun.get(job, job.start_s)
        if job.lane == LOCAL:
            return begun
        needs = [need for need in self.instance.task[job.task].needs if need in self.instance.input]
        missing = self._upload_s(job.lane, self.instance.task[job.task])
        arrived = [self._sent.get((job.lane, need), 0.0) for need in needs]
        return max(begun, job.start_s + missing if missing else 0.0, *arrived, 0.0)

    def _upload_s(self, lane: str, task: Task) -> float:
        """Seconds until what a task needs is on a worker, by the plan."""
        if lane == LOCAL:
            return 0.0
        worker = self.instance.worker[lane]
        missing = [
            self.instance.input[need]
            for need in task.needs
            if need in self.instance.input and not self.holds(lane, need)
        ]
        return sum(
            item.prepare_s + item.bytes_to(lane) / worker.up_bytes_per_s + worker.latency_s
            for item in missing
        )

    def _home_s(self, lane: str, task: Task) -> float:
        if lane == LOCAL:
            return 0.0
        worker = self.instance.worker[lane]
        return task.out_bytes / worker.down_bytes_per_s + worker.latency_s
