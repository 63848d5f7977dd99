"""The parent's side of one child: start it, give it a task, stop it, notice its death."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from .child_forms import read_done, read_ready
from .frames import BrokenPipe, Message, pack, receive_message
from .settings import Settings

log = logging.getLogger(__name__)
START_S = 120.0  # importing a detector's packages from a cold disk
ACCEPT_S = 5.0  # an idle child that does not take a task within this is stuck
CANCEL_S = 0.3  # between a cancel and a kill
MOST_STAGES = 8  # of a task; more are a flood


class ChildDied(Exception):
    """The child ended, or was ended, before its answer; the text says how."""


class ChildStuck(ChildDied):
    """The child ended before it took the task: another one can have it."""


class TaskFailed(Exception):
    """The child answered with an error and lives on."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code, detail)
        self.code, self.detail = code, detail


@dataclass(frozen=True, slots=True)
class Order:
    """One detector on one photo, as a child gets it."""

    task: str
    detector: str
    params: dict[str, float]
    resolution: int
    path: str


@dataclass(frozen=True, slots=True)
class Done:
    """A finished task: the hint as PNG, the seconds of each step, the hint's pixels."""

    png: bytes
    seconds: dict[str, float]
    pixels: int


class Child:
    """A running child process. Made by `start`, ended by `kill`."""

    def __init__(self, process: asyncio.subprocess.Process, settings: Settings) -> None:
        self._process, self._settings = process, settings
        self.pid = process.pid
        self.announced: dict[str, Any] = {}
        self.has_worked = False  # it took a task
        self.since = time.monotonic()

    @classmethod
    async def start(cls, settings: Settings) -> Child:
        """A child with its imports done.

        Raises:
            ChildDied: it ended, or did not get ready.
        """
        began = time.monotonic()
        spawning = asyncio.ensure_future(_spawn(settings))
        try:
            process = await asyncio.shield(spawning)
        except asyncio.CancelledError:  # asyncio may lose a child whose spawning is cancelled
            await cls(await spawning, settings).kill()
            raise
        child = cls(process, settings)
        try:
            told = await asyncio.wait_for(child._expect("ready"), START_S)
            child.announced = read_ready(told)
        except TimeoutError:
            await child.kill()
            raise ChildDied(f"not ready after {START_S:.0f} s") from None
        except BrokenPipe as error:
            await child.kill()
            raise ChildDied(str(error)) from error
        except BaseException:
            await child.kill()
            raise
        child.since = time.monotonic()
        log.info("child %d ready after %.1f s", child.pid, time.monotonic() - began)
        return child

    async def work(self, order: Order, on_stage: Callable[[str], None] | None) -> Done:
        """Run one task; `on_stage` hears of its stages.

        Must not be cancelled: use `interrupt`, or the pipe loses its place.

        Raises:
            TaskFailed: the child says so, and lives.
            ChildDied: it does not live any more.
        """
        limits = self._settings.photo
        message: Message = {
            "do": "detect",
            "task": order.task,
            "detector": order.detector,
            "params": order.params,
            "resolution": order.resolution,
            "path": order.path,
            "followed": on_stage is not None,
            "photo_pixels": limits.pixels,
            "photo_side_px": limits.side_px,
            "hint_pixels": self._settings.hint_pixels,
        }
        try:
            await self._send(message)
            await asyncio.wait_for(self._expect("started"), ACCEPT_S)
        except TimeoutError:
            await self.kill()
            raise ChildStuck("did not take a task") from None
        except ChildDied as error:
            raise ChildStuck(str(error)) from None
        self.has_worked, stages = True, 0
        while True:
            message, payload = await self._receive()
            match message.get("say"):
                case "stage" if on_stage is not None and stages < MOST_STAGES:
                    stages += 1
                    on_stage(str(message.get("stage"))[:20])
                case "failed":
                    raise TaskFailed(str(message.get("code")), str(message.get("detail")))
                case "done":
                    return await self._done(message, payload, order.task)
                case other:
                    await self.kill()
                    raise ChildDied(f"said {other!r:.40}")

    async def _done(self, message: Message, png: bytes, task: str) -> Done:
        try:
            seconds, pixels = read_done(message, png, task, self._settings.hint_pixels)
        except BrokenPipe as error:
            await self.kill()
            raise ChildDied(str(error)) from error
        return Done(png, seconds, pixels)

    async def interrupt(self, working: asyncio.Future[Done], task: str) -> None:
        """End what `work` does, within a second; the child is killed unless it stops by itself."""
        with suppress(ChildDied):
            await self._send({"do": "cancel", "task": task})
        await asyncio.wait({working}, timeout=CANCEL_S)
        if not working.done():
            await self.kill()
            await asyncio.wait({working})

    async def kill(self) -> None:
        """End the process and wait until it is gone."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                # Not Popen's kill: that may reap a dead child, whose exit code is then lost.
                os.kill(self.pid, signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
        await self._process.wait()

    async def ended(self) -> None:
        """Return when the process is gone, whoever ended it."""
        await self._process.wait()

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    async def _send(self, message: Message) -> None:
        stdin = self._process.stdin
        if stdin is None or stdin.is_closing():
            raise await self._death()
        try:
            stdin.write(pack(message))
            await stdin.drain()
        except (BrokenPipeError, ConnectionResetError):
            raise await self._death() from None

    async def _expect(self, what: str) -> Message:
        message, _ = await self._receive()
        if message.get("say") != what:
            await self.kill()
            raise ChildDied(f"said {message.get('say')!r:.40} instead of {what!r}")
        return message

    async def _receive(self) -> tuple[Message, bytes]:
        stdout = self._process.stdout
        if stdout is None:
            raise await self._death()
        try:
            # A PNG can be a little larger than its pixels.
            return await receive_message(stdout, 4 * self._settings.hint_pixels)
        except (EOFError, ConnectionResetError):
            raise await self._death() from None
        except BrokenPipe as error:
            await self.kill()
            raise ChildDied(str(error)) from error

    async def _death(self) -> ChildDied:
        with suppress(TimeoutError):  # it may be writing its last words
            await asyncio.wait_for(self._process.wait(), CANCEL_S)
        await self.kill()
        code = self._process.returncode
        how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        return ChildDied(how)


async def _spawn(settings: Settings) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",  # else this folder's modules hide the standard library's
        str(settings.child_program),
        str(os.getpid()),
        str(settings.child_memory_bytes),
        *(str(folder) for folder in settings.model_folders),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
