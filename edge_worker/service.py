"""The state of one worker: made with the app, opened and closed by its lifespan."""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass, field

from .blobs import BlobStore
from .gate import Failures
from .jobs import Jobs
from .line import Line, Stop
from .meters import Meters
from .pool import Pool
from .settings import Settings

DRAIN_S = 7.5  # running tasks get this long; what comes after fits into ten seconds
TIDY_S = 5.0
LINGER_S = 1.0  # for clients to fetch what became ready meanwhile


@dataclass(slots=True)
class Call:
    """A request whose client can cancel it by name."""

    stop: Stop
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Service:
    """Everything that lives as long as the worker does."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.instance = secrets.token_hex(8)  # new at each start: the client sees restarts
        self.meters = Meters()
        self.pool = Pool(settings)
        self.blobs = BlobStore(settings)
        self.line = Line(settings, self.pool, self.blobs, self.meters)
        self.jobs = Jobs(settings, self.line, self.blobs)
        self.failures = Failures()
        self.calls: dict[str, Call] = {}
        self._tidying: asyncio.Task[None] | None = None
        self._opening: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Returns when the first child is ready, or when the opening was given up.

        Raises:
            ChildDied: the first child did not get ready.
        """
        self.blobs.open()
        self._tidying = asyncio.create_task(self._tidy())
        self._opening = asyncio.create_task(self.pool.open())
        await asyncio.wait({self._opening})
        if not self._opening.cancelled():
            self._opening.result()

    def give_up_opening(self) -> None:
        if self._opening is not None:
            self._opening.cancel()

    async def _tidy(self) -> None:
        """An idle worker forgets too."""
        settings = self.settings
        while True:
            await asyncio.sleep(min(TIDY_S, settings.blob_seconds, settings.result_seconds))
            self.blobs.expire()
            self.jobs.forget_old()

    async def drain(self) -> None:
        """Take nothing new, let running tasks end, then end them; within nine seconds."""
        began = time.monotonic()
        await self.line.drain(DRAIN_S)
        until = min(time.monotonic() + LINGER_S, began + DRAIN_S + LINGER_S)
        while self.jobs.unfetched and time.monotonic() < until:
            await asyncio.sleep(0.02)

    async def close(self) -> None:
        try:
            if self._tidying is not None:
                self._tidying.cancel()
            await self.line.drain(0.0)
            await self.jobs.close()
        finally:
            try:
                await self.pool.close()
            finally:
                self.blobs.close()

    @property
    def ready(self) -> bool:
        return not self.line.draining and self.pool.live > 0
