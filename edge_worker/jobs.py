"""Jobs: several detectors on one photo, each result there as soon as it is ready."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..engine.wire.problems import problem_form
from .blobs import BlobStore
from .line import Line, Result, Task
from .problem import Problem
from .settings import Settings

log = logging.getLogger(__name__)
STAGES = ("loading", "decoding", "computing", "encoding")
MOST_JOBS = 1024
_STATE_OF = {"cancelled": "cancelled", "deadline": "expired"}


@dataclass(slots=True)
class Part:
    """One detector of a job; ends with a result or a problem."""

    task: Task
    state: str = "queued"  # running, then done, failed, cancelled or expired
    stages_done: int = 0
    result: Result | None = None
    problem: Problem | None = None

    @property
    def ended(self) -> bool:
        return self.result is not None or self.problem is not None

    def form(self) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "detector": self.task.detector,
            "state": self.state,
            "progress": 1.0 if self.result else self.stages_done / len(STAGES),
        }
        if self.result:
            shown |= {"seconds": self.result.seconds, "bytes": len(self.result.png)}
        if self.problem:
            shown["problem"] = problem_form(self.problem.code, self.problem.detail)
        return shown


@dataclass(slots=True)
class Job:
    """Parts in the client's order, and everything that happened to them."""

    parts: list[Part]
    id: str = field(default_factory=lambda: secrets.token_hex(16))
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    running: list[asyncio.Task[None]] = field(default_factory=list)
    ended_at: float | None = None
    fetched: set[int] = field(default_factory=set)

    def tell(self, event: str, **facts: Any) -> None:
        self.events.append((event, facts))
        self.changed.set()
        self.changed = asyncio.Event()

    @property
    def state(self) -> str:
        """That of its parts: the worst if all have ended."""
        states = {part.state for part in self.parts}
        if not all(part.ended for part in self.parts):
            return "queued" if states == {"queued"} else "running"
        for state in ("failed", "expired", "cancelled"):
            if state in states:
                return state
        return "done"

    def form(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "state": self.state,
            "parts": [part.form() for part in self.parts],
        }

    @property
    def unfetched(self) -> bool:
        return any(
            part.result and number not in self.fetched for number, part in enumerate(self.parts)
        )


class Jobs:
    """All jobs that run, or ended a short while ago."""

    def __init__(self, settings: Settings, line: Line, blobs: BlobStore) -> None:
        self._settings, self._line, self._blobs = settings, line, blobs
        self._jobs: dict[str, Job] = {}  # oldest first
        self._keys: dict[str, tuple[str, str]] = {}  # idempotency key: (job, digest of the body)

    def find(self, job: str) -> Job:
        self.forget_old()
        if job not in self._jobs:
            raise Problem("unknown_job", "no job of this name is here")
        return self._jobs[job]

    def __contains__(self, job: str) -> bool:
        return job in self._jobs

    @property
    def unfetched(self) -> bool:
        """A result is ready that nobody has asked for."""
        return any(job.unfetched for job in self._jobs.values())

    def made_with(self, key: str | None, body: str) -> Job | None:
        """The job that was made with this key, None before there is one.

        Raises:
            Problem: the key was used with another body.
        """
        self.forget_old()
        if key not in self._keys:
            return None
        known, of = self._keys[key]
        if of != _digest(body):
            raise Problem("idempotency_mismatch", "the key was used with another body")
        return self._jobs[known]

    def create(self, tasks: Sequence[Task], key: str | None, body: str) -> Job:
        """A new job in line.

        Raises:
            Problem: the photo is not here, or no room.
        """
        self._make_room()
        if not self._blobs.has(tasks[0].blob):
            raise Problem("unknown_blob", "send the photo first: PUT /v1/blobs/{sha256}")
        self._line.enter(*tasks)
        job = Job([Part(task) for task in tasks])
        self._jobs[job.id] = job
        if key is not None:
            self._keys[key] = (job.id, _digest(body))
        for number, part in enumerate(job.parts):
            job.tell("queued", part=number)
            job.running.append(asyncio.create_task(self._run(job, number, part)))
        return job

    async def cancel(self, job: Job) -> None:
        """End the job; returns when its child is free."""
        for part in job.parts:
            part.task.stop.set("cancelled")
        await asyncio.gather(*job.running, return_exceptions=True)

    async def close(self) -> None:
        cancels = (self.cancel(job) for job in self._jobs.values())
        await asyncio.gather(*cancels, return_exceptions=True)

    async def _run(self, job: Job, number: int, part: Part) -> None:
        def on_stage(stage: str) -> None:
            part.state = "running"
            part.stages_done = STAGES.index(stage) if stage in STAGES else part.stages_done
            event = "loading" if stage == "loading" else "running"
            job.tell(event, part=number, progress=part.stages_done / len(STAGES))

        part.task.on_stage = on_stage
        try:
            part.result = await self._line.run(part.task)
        except Problem as problem:
            part.problem = problem
        except Exception:
            log.exception("a task of %s failed", part.task.detector)
            part.problem = Problem("internal", "see the worker's log")
        finally:
            problem = part.problem
            part.state = _STATE_OF.get(problem.code, "failed") if problem else "done"
            job.tell(part.state, part=number, **part.form())
            if all(part.ended for part in job.parts):
                job.ended_at = time.monotonic()
                job.tell("end", state=job.state)

    def forget_old(self) -> None:
        """Drop jobs that ended long ago."""
        too_old = time.monotonic() - self._settings.result_seconds
        for job in list(self._jobs.values()):
            if job.ended_at is not None and job.ended_at < too_old:
                self._forget(job)

    def _make_room(self) -> None:
        """Drop jobs whose results have all been fetched, as far as that is needed.

        Raises:
            Problem: there are too many others.
        """
        answers, most = self._line.answers, self._settings.result_store_bytes
        for job in list(self._jobs.values()):
            if len(self._jobs) < MOST_JOBS and answers.bytes < most // 2:
                return
            if job.ended_at is not None and not job.unfetched:
                self._forget(job)
        if len(self._jobs) >= MOST_JOBS:
            raise Problem("queue_full", "fetch the results that are ready first", retry_after_s=1)

    def _forget(self, job: Job) -> None:
        del self._jobs[job.id]
        for part in job.parts:
            if part.result:
                self._line.answers.release(part.task.address, len(part.result.png))
        self._keys = {key: made for key, made in self._keys.items() if made[0] in self._jobs}


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()


async def follow(
    job: Job, after: int, pause_s: float
) -> AsyncGenerator[tuple[int, str, dict[str, Any]] | None]:
    """Events from number `after` on, None whenever nothing happened for `pause_s`; ends with it."""
    number = after
    while True:
        while number < len(job.events):
            event, facts = job.events[number]
            yield number, event, facts
            number += 1
            if event == "end":
                return
        if number > len(job.events) or (job.ended_at is not None and number == len(job.events)):
            return  # all of them have been seen
        try:
            await asyncio.wait_for(job.changed.wait(), pause_s)
        except TimeoutError:
            yield None
