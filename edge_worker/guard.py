"""Connections that cost more than they bring: silent, slow, too many. uvicorn has no such limits.

Reaches into uvicorn's H11Protocol (0.54): `conn`, `cycle`, `transport`, `client`, its three
callbacks and `send_400_response`. tests/worker/test_slow_clients.py and test_attacks.py fail where
a later uvicorn is different.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import h11
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.h11_impl import H11Protocol

from .doors import Doors
from .meters import Meters

log = logging.getLogger(__name__)
SWEEP_S = 0.25
UNSENT_BYTES = 65536  # of an answer in a connection's buffers; the rest waits in its response


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What a connection may cost."""

    all: int = 1024
    an_address: int = 512
    at_door: int = 512  # not yet here: in the handshake of TLS
    at_door_an_address: int = 256
    head_s: float = 5.0  # from connecting, or the head's first byte, to its last
    idle_s: float = 60.0  # between two requests
    body_grace_s: float = 3.0
    body_bytes_per_s: float = 10_000.0  # after the grace; also of an answer, after the next
    unread_s: float = 20.0

    def within(self, files: int) -> ConnectionLimits:
        """At most as many as may be open: two files each, and as many again for all else.

        Without a file left, asyncio logs a thousand stacks for each connection that waits.
        """
        return replace(
            self,
            all=min(self.all, files // 4),
            an_address=min(self.an_address, files // 8),
            at_door=min(self.at_door, files // 8),
            at_door_an_address=min(self.at_door_an_address, files // 16),
        )


class Guard:
    """All open connections; ends those that break the limits."""

    def __init__(
        self,
        limits: ConnectionLimits,
        meters: Meters,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limits, self._meters, self.clock = limits, meters, clock
        self.doors = Doors(meters, limits.at_door, limits.at_door_an_address)
        self.connections: set[Guarded] = set()
        self._sweeping: asyncio.TimerHandle | None = None

    def protocol(self, *args: Any, **kwargs: Any) -> Guarded:
        """A connection for uvicorn: what `Config(http=...)` calls."""
        return Guarded(self, *args, **kwargs)

    def admit(self, newcomer: Guarded) -> bool:
        """Room for one more? If not, the one that has gone longest without a request has to go."""
        here = [one for one in self.connections if one.address == newcomer.address]
        if len(here) >= self.limits.an_address:
            crowd = here
        elif len(self.connections) >= self.limits.all:
            crowd = list(self.connections)
        else:
            crowd = []
        waiting = [one for one in crowd if not one.busy]
        if crowd and not waiting:
            self._meters.refused[("too_many",)] += 1
            return False
        if waiting:
            self.end(min(waiting, key=lambda one: one.since), "crowded_out")
        self.connections.add(newcomer)
        if self._sweeping is None:
            self._sweeping = newcomer.loop.call_later(SWEEP_S, self._sweep)
        return True

    def end(self, connection: Guarded, reason: str) -> None:
        self._meters.refused[(reason,)] += 1
        self.connections.discard(connection)
        connection.transport.abort()

    def _sweep(self) -> None:
        now = self.clock()
        for connection in list(self.connections):
            reason = connection.objection(now)
            if reason is not None:
                self.end(connection, reason)
        loop = asyncio.get_running_loop()
        self._sweeping = loop.call_later(SWEEP_S, self._sweep) if self.connections else None


class Outlet:
    """A transport that counts what is written to it."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport, self.written = transport, 0

    def write(self, data: bytes) -> None:
        self.written += len(data)
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Guarded(H11Protocol):
    """uvicorn's connection, which knows since when it waits for what."""

    def __init__(self, guard: Guard, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._guard = guard
        self.address = ""
        self.since = guard.clock()  # the head is awaited, or the body goes on
        self._between = False  # two requests, and no byte of the second one
        self._body_bytes = 0
        self._behind_since, self._behind_from = self.since, 0

    @property
    def awaits_head(self) -> bool:
        return self.conn.their_state is h11.IDLE

    @property
    def busy(self) -> bool:
        """A request waits for its answer. After it a client may send on, or not hang up, for long:
        over TLS the end of a connection waits for the client's."""
        return self.conn.our_state in (h11.SEND_RESPONSE, h11.SEND_BODY)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.set_write_buffer_limits(UNSENT_BYTES)
        self.transport = Outlet(transport)  # type: ignore[assignment]
        self.flow = FlowControl(self.transport)
        if self.client:
            self._guard.doors.leave(self.client)
            self.address = self.client[0]
        self.since = self._guard.clock()
        if not self._guard.admit(self):
            transport.abort()

    def data_received(self, data: bytes) -> None:
        if self.busy and self.conn.their_state is not h11.SEND_BODY:
            # uvicorn would stop reading, and then not see that the client leaves.
            self._guard.end(self, "impatient")
            return
        awaited_head = self.awaits_head
        if self._between:
            self._between, self.since = False, self._guard.clock()
        super().data_received(data)
        if self.conn.their_state is h11.SEND_BODY:
            if awaited_head:
                self.since, self._body_bytes = self._guard.clock(), 0
            self._body_bytes += len(data)

    def send_400_response(self, msg: str) -> None:
        """What came is no HTTP: whoever answers its request learns that nobody is there."""
        if self.busy:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        super().send_400_response(msg)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self.since, self._between = self._guard.clock(), self.awaits_head
        self._body_bytes = 0

    def connection_lost(self, exc: Exception | None) -> None:
        self._guard.connections.discard(self)
        super().connection_lost(exc)

    def objection(self, now: float) -> str | None:
        """Why this connection has to end now, None where it may stay."""
        limits, waited = self._guard.limits, now - self.since
        if self.awaits_head:
            if waited > (limits.idle_s if self._between else limits.head_s):
                return "idle" if self._between else "slow_head"
        elif self.conn.their_state is h11.SEND_BODY and waited > limits.body_grace_s:
            answered = self.conn.our_state is h11.DONE  # it goes on sending to nobody
            if answered or self._body_bytes < limits.body_bytes_per_s * waited:
                return "slow_body"
        return "unread_answer" if self._reads_too_slowly(now) else None

    def _reads_too_slowly(self, now: float) -> bool:
        """Judged over `unread_s` again and again: the system's own buffers take megabytes at first,
        which must not count for ever."""
        limits, unsent = self._guard.limits, self.transport.get_write_buffer_size()
        taken = self.transport.written - unsent  # type: ignore[attr-defined]
        behind_s = now - self._behind_since
        too_few = taken - self._behind_from < limits.body_bytes_per_s * behind_s
        if unsent and behind_s > limits.unread_s and too_few:
            return True
        if not unsent or behind_s > limits.unread_s:
            self._behind_since, self._behind_from = now, taken
        return False
