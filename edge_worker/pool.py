"""The children of a worker: who is free, who replaces the dead, what they say they can do."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from .child_process import Child, ChildDied
from .settings import Settings

log = logging.getLogger(__name__)
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 10.0  # between starts of children that die at once
SOON_S = 10.0  # after being ready: who ends within it, without a task, is no use


class Pool:
    """As many children as slots, and one warm spare, so that a killed one costs no waiting."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._wanted = settings.slots + (1 if settings.spare else 0)
        self._idle: list[Child] = []
        self._busy: set[Child] = set()
        self._changed = asyncio.Condition()
        self._starting: set[asyncio.Task[None]] = set()
        self._watching: set[asyncio.Task[None]] = set()
        self._closed = False
        self._useless = 0  # in a row
        self.announced: dict[str, Any] = {}
        self.started = 0
        self.died = 0
        self.replacement_s: float | None = None  # of the latest child that replaced another

    async def open(self) -> None:
        """Start the children; returns when the first is ready.

        Raises:
            ChildDied: the first one did not get ready.
        """
        self._idle.append(await self._start())
        self._fill()

    async def close(self) -> None:
        self._closed = True
        for task in self._starting:
            task.cancel()
        await asyncio.gather(*self._starting, return_exceptions=True)
        await asyncio.gather(*(child.kill() for child in (*self._idle, *self._busy)))
        await asyncio.gather(*self._watching)

    @property
    def live(self) -> int:
        """Children that have a task or can take one."""
        return sum(child.alive for child in (*self._idle, *self._busy))

    @property
    def idle_pids(self) -> list[int]:
        return [child.pid for child in self._idle]

    @property
    def busy_pids(self) -> list[int]:
        return [child.pid for child in self._busy]

    async def take(self) -> Child:
        """A free child, the most recently used first: its memory is warm. Waits for one."""
        async with self._changed:
            while True:
                if self._idle:
                    child = self._idle.pop()
                    self._busy.add(child)
                    return child
                await self._changed.wait()

    async def give_back(self, child: Child) -> None:
        """After its task."""
        async with self._changed:
            if child in self._busy and child.alive:
                self._busy.discard(child)
                self._idle.append(child)
                self._changed.notify()

    async def _watch(self, child: Child) -> None:
        await child.ended()
        self._busy.discard(child)
        if child in self._idle:
            self._idle.remove(child)
        self.died += 1
        useless = not child.has_worked and time.monotonic() - child.since < SOON_S
        self._useless = self._useless + 1 if useless else 0
        self._fill()

    def _pause_s(self) -> float:
        """Before another start: longer with each child that was ready and ended for no reason."""
        if self._useless <= self._wanted:  # one accident may end all of them
            return 0.0
        doublings = min(self._useless - self._wanted - 1, 10)
        return min(FIRST_PAUSE_S * 2**doublings, LONGEST_PAUSE_S)

    def _fill(self) -> None:
        missing = self._wanted - len(self._idle) - len(self._busy) - len(self._starting)
        for _ in range(0 if self._closed else missing):
            task = asyncio.create_task(self._replace())
            self._starting.add(task)
            task.add_done_callback(self._starting.discard)

    async def _start(self) -> Child:
        child = await Child.start(self._settings)
        self.started += 1
        self.announced = child.announced
        watch = asyncio.create_task(self._watch(child))
        self._watching.add(watch)
        watch.add_done_callback(self._watching.discard)
        return child

    async def _replace(self) -> None:
        began, pause_s = time.monotonic(), FIRST_PAUSE_S
        await asyncio.sleep(self._pause_s())
        while True:
            try:
                child = await self._start()
            except (ChildDied, OSError) as error:
                log.error("a child did not start (%s): trying again in %.1f s", error, pause_s)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                continue
            self.replacement_s = time.monotonic() - began
            async with self._changed:
                self._idle.insert(0, child)  # the warm ones go first
                self._changed.notify()
            return
