"""State of one running plan, shared by its lanes: who does what, what is home, what went wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from ..conditions import Condition, Hint
from ..errors import Unavailable
from .board import Board
from .instance import LOCAL
from .kept import Kept, KeptHints, Pictures
from .offload import Offload
from .outlook import Job
from .timeline import Span, Timeline
from .trace import Outcome, Progress, Row, Standing, State, Status

POLL_S = 0.05


class Run:
    """Every method may be called from any thread."""

    def __init__(self, offload: Offload, kept: KeptHints | None = None) -> None:
        self._offload = offload
        self._kept = KeptHints(0) if kept is None else kept
        self._lossy = {one.alias for one in offload.workers if one.lossy}  # of no exact photo
        self._board = Board(offload.instance, offload.plan)
        self._changed = threading.Condition(threading.RLock())
        self._started = time.monotonic()
        self._stopped = not offload.conditions
        self._error: BaseException | None = None
        self._stops: dict[Job, threading.Event] = {}
        self._hints: dict[str, Hint] = {}
        self._took: dict[str, float] = {}
        self._notes: dict[str, str] = {}
        self._warnings: dict[str, str] = {}  # one a lane: the first says enough
        self._spans: list[Span] = []
        self._states: dict[Job, State] = {}
        self._whole: dict[str, float] = {}  # seconds from taken to home
        self._cached = self._find_kept()
        for task, hint in self._cached.items():
            self._hints[task] = Hint(offload.condition(task), hint.pictures, hint.lane, 0.0)

    def _find_kept(self) -> dict[str, Kept]:
        """Those that the plan left out, and what was made since, as by a run that was stopped."""
        found = dict(self._offload.ready)
        for task in self._offload.instance.tasks:
            source = self._offload.sources.get(task.id)
            if source is not None and source not in found:
                continue
            condition = self._offload.condition(task.id)
            made = condition if source is None else condition.made_of(found[source].pictures)
            hint = self._kept.find(made, self._offload.starts)
            if hint is not None:
                self._board.skip(task.id, hint.lane)
                found[task.id] = hint
        return found

    def now(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._started

    @property
    def wanting(self) -> bool:
        """Whether any hint is still to be made."""
        with self._changed:
            return not self._board.finished

    def condition(self, task: str) -> Condition:
        """What a lane has to do for a task that it took: the hint that it looks at is home."""
        condition, source = self._offload.condition(task), self._offload.sources.get(task)
        if source is None:
            return condition
        with self._changed:
            return condition.made_of(self._hints[source].pictures)

    # --- for the caller

    def wait(self) -> bool:
        """Waits a little; whether there is more to wait for."""
        with self._changed:
            if not (self._board.finished or self._error):
                self._changed.wait(POLL_S)
            return not (self._board.finished or self._error)

    def progress(self) -> Progress:
        """How far every condition is now."""
        with self._changed:
            now = self.now()
            return Progress(now, tuple(self._standing(task, now) for task in self._offload.tasks))

    def _standing(self, task: str, now: float) -> Standing:
        if task in self._cached:
            return _stands(task, self._cached[task].lane, "done", 0.0)
        if home := self._board.home.get(task):
            return _stands(task, home.lane, "done", self._whole[task])
        for job in self._board.rivals(task):
            waits = self._states[job] == "running" and self._board.outlook.waits(job)
            state = "queued" if waits else self._states[job]
            return _stands(task, job.lane, state, now - job.start_s)
        lane = next((lane for lane, queue in self._board.queues.items() if task in queue), LOCAL)
        return _stands(task, lane, "queued", 0.0)

    def stop(self) -> None:
        """Ends all lanes; a request at once, a detector that runs here when it is done."""
        with self._changed:
            self._stopped = True
            for event in self._stops.values():
                event.set()
            self._changed.notify_all()

    def outcome(self) -> Outcome:
        """Everything, once all hints are home. Raises what went wrong."""
        with self._changed:
            if self._error:
                raise self._error
            spans = sorted(self._spans, key=lambda span: (span.start_s, span.end_s, span.what))
            ends = [span.end_s for span in spans if span.kind in ("run", "down")]
            tasks = self._offload.tasks
            return Outcome(
                tuple(self._hints[task] for task in tasks),
                Timeline(max(ends, default=0.0), tuple(spans)),
                tuple(self._row(task) for task in tasks),
                tuple(self._warnings.values()),
            )

    def _row(self, task: str) -> Row:
        if task in self._cached:
            lane = self._cached[task].lane
            return Row(task, None if lane == LOCAL else lane, "cached", None, 0.0, 0.0)
        job, planned = self._board.home[task], self._offload.plan.lane[task]
        lost = job.lane != planned and (job.why in ("moved", "late") or planned in self._warnings)
        status: Status = "moved" if lost else "done"
        worker = None if job.lane == LOCAL else job.lane
        predicted = self._offload.computing_s(task, job.lane)
        return Row(task, worker, status, self._notes.get(task), predicted, self._took[task])

    # --- for lanes

    def take(self, lane: str) -> tuple[Job, threading.Event] | None:
        """Waits for work; None when there will be none. The event is set when it is given up."""
        with self._changed:
            while not (self._stopped or self._error or self._board.finished):
                if lane in self._board.closed:
                    return None
                job = self._board.take(lane, self.now())
                if job:
                    self._stops[job] = stop = threading.Event()
                    self._states[job] = "running" if lane == LOCAL else "queued"
                    self._changed.notify_all()
                    return job, stop
                self._changed.wait(POLL_S)
            return None

    def tell(self, job: Job, state: State) -> None:
        """What a lane is at with a job."""
        with self._changed:
            self._states[job] = state

    def arrive(
        self,
        job: Job,
        pictures: Pictures,
        compute_s: float,
        run_s: float,
        spans: Sequence[Span],
    ) -> None:
        """A job is done. The first result counts; other copies are told to stop.

        `compute_s` is the detector alone; `run_s` is all that was no transfer.
        """
        hint = Kept(pictures, job.lane, self._offload.starts[job.lane], compute_s)
        if job.lane not in self._lossy:
            self._kept.keep(self.condition(job.task), hint)
        with self._changed:
            if self._stopped:
                return
            planned_s = run_s + self._offload.way_s(job.task, job.lane)  # of the same as the plan's
            if self._board.arrived(job, planned_s, self.now()):
                asked = self._offload.condition(job.task)
                self._hints[job.task] = Hint(asked, pictures, job.lane, compute_s)
                self._took[job.task] = run_s
                self._whole[job.task] = self.now() - job.start_s
                self._explain(job)
                for rival in self._board.rivals(job.task):
                    self._stops[rival].set()
            else:
                spans = [Span(s.what, s.lane, "copy", s.start_s, s.end_s) for s in spans]
            self._spans += spans
            self._changed.notify_all()

    def drop(self, job: Job) -> bool:
        """A job was given up, as it was told to be; whether its worker was at it by then."""
        with self._changed:
            at_work = self._states[job] == "running" and not self._board.outlook.waits(job)
            self._board.dropped(job, self.now())
            self._changed.notify_all()
            return at_work

    def refuse(self, job: Job, error: Exception) -> None:
        """A lane cannot do one task; another may, else `error` ends the run."""
        with self._changed:
            if self._stopped:
                return
            self._lose(job)
            if self._board.refused(job, self.now()):
                self._notes[job.task] = f"moved: {error}"
                self._warnings.setdefault(job.lane, f"{error} Another lane did {job.task}.")
            else:
                self._end(job.lane, [job.task], error)
            self._changed.notify_all()

    def fail(self, lane: str, error: Exception, job: Job | None = None) -> None:
        """A worker is lost for this run: its conditions go to other lanes."""
        with self._changed:
            if self._stopped or self._board.finished or lane in self._board.closed:
                return
            if job:
                self._lose(job)
            theirs = self._board.outlook.jobs(lane)
            for running in theirs:
                self._stops[running].set()
            left = [*(running.task for running in theirs), *self._board.queues[lane]]
            stuck = self._board.close(lane, str(error), self.now())
            for task in left:
                self._notes[task] = f"moved: {error}"
            others = f" Other lanes did {', '.join(left)}." if left else ""
            self._warnings.setdefault(lane, f"{error}{others}")
            if stuck:
                self._end(lane, stuck, error)
            self._changed.notify_all()

    def crash(self, error: BaseException) -> None:
        """An error that no lane can mend: the caller gets it."""
        with self._changed:
            self._error = self._error or error
            self._changed.notify_all()

    def holds(self, lane: str, input_id: str) -> bool:
        with self._changed:
            return self._board.outlook.holds(lane, input_id)

    def sent(self, lane: str, input_id: str, span: Span | None) -> None:
        """An input is on a worker; `span` of the upload, None if it was there already."""
        with self._changed:
            self._board.outlook.sent(lane, input_id, self.now())
            if span:
                self._spans.append(span)

    # --- under the lock

    def _lose(self, job: Job) -> None:
        self._spans.append(Span(job.task, job.lane, "lost", job.start_s, self.now()))

    def _end(self, lane: str, stuck: list[str], error: Exception) -> None:
        if self._error:
            return
        if lane == LOCAL:
            self._error = error
            return
        do = "start or mend the worker, or set the condition's `where` to auto"
        self._error = Unavailable(f"worker for {', '.join(stuck)}", str(error), do)
        self._error.__cause__ = error

    def _explain(self, job: Job) -> None:
        planned = self._offload.plan.lane[job.task]
        if job.why == "stolen":
            self._notes[job.task] = f"planned for {planned}, which was still busy"
        elif job.why == "copy":
            self._notes[job.task] = f"ran on {planned} too; this copy was home first"
        elif job.why == "late":
            self._notes[job.task] = f"moved: {planned} was late"
            text = f"Worker {planned!r} was much slower than planned: other lanes helped out."
            self._warnings.setdefault(planned, text)


def _stands(task: str, lane: str, state: State, seconds: float) -> Standing:
    return Standing(task, None if lane == LOCAL else lane, state, seconds)
