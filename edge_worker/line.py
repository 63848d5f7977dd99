"""The line before the children: who is let in, who is next, and how a task is stopped."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ..engine.conditions import Param
from ..engine.errors import BadInput
from .answers import Answers
from .blobs import BlobStore
from .child_process import Child, ChildDied, ChildStuck, Done, Order, TaskFailed
from .crashes import Crashes
from .meters import Meters
from .pool import Pool
from .prices import Prices
from .problem import Problem
from .settings import Settings

log = logging.getLogger(__name__)
T = TypeVar("T")
ATTEMPTS = 3  # of children that end before they take a task


class Stop:
    """Someone wants a task to end: set once, with the code that it then ends with."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.code = "cancelled"

    def set(self, code: str) -> None:
        if not self._event.is_set():
            self.code = code
            self._event.set()

    def is_set(self) -> bool:
        return self._event.is_set()

    async def wait(self) -> None:
        await self._event.wait()


@dataclass(slots=True)
class Task:
    """One detector on one photo, from its admission to its end."""

    detector: str
    params: dict[str, float]
    resolution: int
    blob: str
    expected_s: float
    until: float  # by the monotonic clock, as is the next one
    address: str = ""  # of the client
    ready_at: float = 0.0  # as expected when it began
    on_stage: Callable[[str], None] | None = None
    stop: Stop = field(default_factory=Stop)
    id: str = field(default_factory=lambda: secrets.token_hex(8))


@dataclass(frozen=True, slots=True)
class Result:
    """A hint as PNG and where its seconds went."""

    png: bytes
    seconds: dict[str, float]  # queue, load, decode, compute, encode

    def server_timing(self) -> str:
        return ", ".join(f"{name};dur={1e3 * value:.2f}" for name, value in self.seconds.items())


class Line:
    """First come, first served, at most `slots` at a time."""

    def __init__(self, settings: Settings, pool: Pool, blobs: BlobStore, meters: Meters) -> None:
        self._settings, self._pool, self._blobs = settings, pool, blobs
        self._meters = meters
        self._slots = asyncio.Semaphore(settings.slots)
        self._waiting: dict[str, Task] = {}
        self._running: dict[str, Task] = {}
        self.prices, self.crashes = Prices(), Crashes()
        self.answers = Answers(settings.result_store_bytes)
        self.draining = False

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def running(self) -> int:
        return len(self._running)

    def expected_wait_s(self) -> float:
        now = time.monotonic()
        waiting = sum(task.expected_s for task in self._waiting.values())
        running = sum(max(0.0, task.ready_at - now) for task in self._running.values())
        return (waiting + running) / self._settings.slots

    def plan(
        self,
        detector: str,
        params: dict[str, float],
        resolution: int,
        blob: str,
        left_s: float,
        address: str,
    ) -> Task:
        """A task with checked values, not yet in line.

        Raises:
            Problem: an unknown or missing detector, a bad value, or one that crashed twice here.
        """
        announced = self._pool.announced["detectors"].get(detector)
        if announced is None:
            raise Problem("unknown_detector", f"{detector!r:.60}: see /v1/capabilities")
        if announced["state"] == "missing":
            raise Problem("unknown_detector", f"{detector} lacks {announced['missing']}")
        settings = check_params(detector, announced["params"], params)
        if (left := self.crashes.refused_s(detector, blob)) > 0:
            detail = f"{detector} crashed twice on this photo: refused for {left:.0f} s more"
            raise Problem("crashed_before", detail)
        expected = self.prices.expected(detector, announced, resolution)
        until = time.monotonic() + left_s
        return Task(detector, settings, resolution, blob, expected, until, address)

    def enter(self, *tasks: Task) -> None:
        """Let tasks in, all or none; each must then `run`.

        Raises:
            Problem: stopping, full, or it can't be done in time.
        """
        if self.draining:
            raise Problem("draining", "the worker is stopping: use another one")
        wait_s = self.expected_wait_s()
        if self.waiting + len(tasks) > self._settings.queue_length * self._settings.slots:
            raise Problem("queue_full", f"{self.waiting} tasks are waiting", retry_after_s=wait_s)
        self.answers.check(tasks[0].address)
        for task in tasks:
            wait_s += task.expected_s
            if time.monotonic() + wait_s > task.until:
                raise Problem("deadline", f"this would take about {wait_s:.2f} s")
        self._waiting.update({task.id: task for task in tasks})

    async def run(self, task: Task) -> Result:
        """Wait for a slot and compute; on return, however it ends, the child is free.

        The result counts as held by `answers` until the caller releases it.

        Raises:
            Problem: cancelled, over the deadline, failed, crashed.
        """
        outcome = "internal"
        try:
            result = await self._take_turn(task)
            outcome = "done"
            return result
        except Problem as problem:
            outcome = problem.code
            raise
        finally:
            self._waiting.pop(task.id, None)
            self._running.pop(task.id, None)
            self._meters.tasks[(task.detector, outcome)] += 1

    async def drain(self, running_s: float) -> None:
        """Let in nobody, send away who waits, end who still runs after that many seconds."""
        self.draining = True
        for task in self._waiting.values():
            task.stop.set("draining")
        until = time.monotonic() + running_s
        while self.running and time.monotonic() < until:
            await asyncio.sleep(0.02)
        for task in self._running.values():
            task.stop.set("draining")
        while self.running or self.waiting:
            await asyncio.sleep(0.02)

    async def _take_turn(self, task: Task) -> Result:
        began = time.monotonic()
        with self._blobs.hold(task.blob) as path:
            await _until(self._slots.acquire(), task)
            try:
                del self._waiting[task.id]
                self._running[task.id] = task
                task.ready_at = time.monotonic() + task.expected_s
                queued_s = time.monotonic() - began
                self.answers.check(task.address)
                done = await self._compute(task, str(path))
            finally:
                self._slots.release()
        self.answers.hold(task.address, len(done.png))
        self.prices.add(task.detector, done.seconds, done.pixels)
        self._meters.add_seconds(task.detector, done.seconds["compute"])
        return Result(done.png, {"queue": queued_s, **done.seconds})

    async def _compute(self, task: Task, path: str) -> Done:
        for _ in range(ATTEMPTS):
            child = await self._free_child(task)
            try:
                return await self._work(child, task, path)
            except ChildStuck as error:
                log.warning("child %d ended before it took a task: %s", child.pid, error)
            except ChildDied as error:
                self.crashes.add(task.detector, task.blob)
                log.error("child %d died in %s: %s", child.pid, task.detector, error)
                raise Problem(
                    "worker_crashed", f"{task.detector} ended its process: {error}"
                ) from None
            except TaskFailed as error:
                raise _as_problem(error) from None
            finally:
                await self._pool.give_back(child)
        raise Problem("no_device", "children end before they take a task: see the worker's log")

    async def _free_child(self, task: Task) -> Child:
        try:
            return await _until(self._pool.take(), task)
        except Problem as problem:
            if problem.code == "deadline":
                raise Problem("no_device", "no child process got ready in time") from None
            raise

    async def _work(self, child: Child, task: Task, path: str) -> Done:
        order = Order(task.id, task.detector, task.params, task.resolution, path)
        working = asyncio.ensure_future(child.work(order, task.on_stage))
        try:
            await _first(working, task)
        finally:
            finished = working.done()
            if not finished:
                await asyncio.shield(child.interrupt(working, task.id))
        if finished:
            return working.result()
        if not working.cancelled():
            working.exception()  # seen: it ended because it was told to
        raise _stopped(task)


async def _first(future: asyncio.Future[Any], task: Task) -> None:
    """Wait for the future, the task's stop or its deadline, whichever comes first."""
    stopping = asyncio.ensure_future(task.stop.wait())
    try:
        left_s = max(0.0, task.until - time.monotonic())
        await asyncio.wait({future, stopping}, timeout=left_s, return_when="FIRST_COMPLETED")
    finally:
        stopping.cancel()


async def _until(waiting: Coroutine[Any, Any, T], task: Task) -> T:
    """What the coroutine returns, unless the task is stopped or its deadline passes before."""
    future = asyncio.ensure_future(waiting)
    try:
        await _first(future, task)
        if not future.done():
            raise _stopped(task)
        return future.result()
    finally:
        future.cancel()


def _stopped(task: Task) -> Problem:
    if task.stop.is_set():
        return Problem(task.stop.code, "the task was stopped on request")
    return Problem("deadline", "the task was not ready in time and has been stopped")


def _as_problem(error: TaskFailed) -> Problem:
    known = ("bad_param", "bad_photo", "too_large", "detector_failed", "cancelled")
    return Problem(error.code if error.code in known else "internal", error.detail)


def check_params(
    detector: str, schema: dict[str, Any], given: dict[str, float]
) -> dict[str, float]:
    """All parameters of a detector: the given ones checked, the missing ones at their default.

    Raises:
        Problem: an unknown name or a value out of range.
    """
    for name in given:
        if name not in schema:
            takes = ", ".join(schema) or "no parameters"
            raise Problem("bad_param", f"{detector} takes {takes}, not {name!r:.60}")
    try:
        return {
            name: _param(name, form).check(given.get(name, form["default"]))
            for name, form in schema.items()
        }
    except BadInput as error:
        raise Problem("bad_param", str(error)) from error


def _param(name: str, form: dict[str, Any]) -> Param:
    whole = form["type"] == "integer"
    return Param(name, form["default"], form["minimum"], form["maximum"], "", whole)
