"""Connections between accept and the end of their TLS handshake, which no protocol sees yet.

Each holds a quarter of a megabyte of TLS buffers, so only so many may be on their way in.
"""

from __future__ import annotations

import socket
from collections import Counter
from contextlib import suppress
from typing import Any

from .meters import Meters

Peer = tuple[str, int]


class Doors:
    """Who has connected and is not yet let in; the oldest has to go where there are too many."""

    def __init__(self, meters: Meters, most: int, an_address: int) -> None:
        self._meters, self._most, self._an_address = meters, most, an_address
        self._waiting: dict[Peer, Accepted] = {}  # oldest first
        self._of: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._waiting)

    def knock(self, peer: Peer, newcomer: Accepted) -> None:
        if self._of[peer[0]] >= self._an_address:
            self._send_away(next(other for other in self._waiting if other[0] == peer[0]))
        elif len(self._waiting) >= self._most:
            self._send_away(next(iter(self._waiting)))
        self._waiting[peer] = newcomer
        self._of[peer[0]] += 1

    def leave(self, peer: Peer) -> None:
        """It has come in, or gone away."""
        if self._waiting.pop(peer, None) is not None:
            self._of[peer[0]] -= 1
            if not self._of[peer[0]]:
                del self._of[peer[0]]

    def _send_away(self, peer: Peer) -> None:
        self._meters.refused[("crowded_out",)] += 1
        with suppress(OSError):  # it has gone already
            self._waiting[peer].shutdown(socket.SHUT_RDWR)  # asyncio sees it end, and closes it
        self.leave(peer)


class Accepted(socket.socket):
    """A connection that tells its door when it is closed."""

    door: tuple[Doors, Peer] | None = None

    def close(self) -> None:
        if self.door is not None:
            doors, peer = self.door
            doors.leave(peer)
        super().close()


class Listener(socket.socket):
    """A listening socket whose connections stand at the doors first."""

    doors: Doors

    def accept(self) -> tuple[socket.socket, Any]:
        found, address = super().accept()
        accepted = Accepted(found.family, found.type, found.proto, found.detach())
        peer = (str(address[0]), int(address[1]))
        accepted.door = (self.doors, peer)
        self.doors.knock(peer, accepted)
        return accepted, address


def listen(host: str, port: int, doors: Doors) -> list[Listener]:
    """Sockets bound to all addresses of the host, not yet listening.

    Raises:
        OSError: the name is unknown, or the port in use.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    made: list[Listener] = []
    try:
        for family, kind, proto, _, address in dict.fromkeys(found):
            listener = Listener(family, kind, proto)
            made.append(listener)
            listener.doors = doors
            if socket.has_ipv6 and family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except OSError:
        for listener in made:
            listener.close()
        raise
    return made
