"""A TCP relay before a worker that counts what passes, and can stall, cut, lie or refuse."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Self
from urllib.parse import urlsplit

QUEUE_FULL = (
    b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/problem+json\r\n"
    b'Content-Length: 67\r\n\r\n{"title":"full","status":429,"code":"queue_full","retryable":false}'
)
GARBAGE = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 7\r\n\r\ngarbage"
PAGE = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 13\r\n\r\n<html></html>"
BROKEN = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 70000\r\n\r\nshort"


class Relay:
    """`with Relay(url) as relay:` listens on `relay.url`.

    `stalled` set: nothing passes any more, connections stay. `lie`: what every request that
    begins with POST is answered instead of being passed on. `cut()`: connections are reset and
    new ones refused.
    """

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname or "", parts.port or 0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.stalled = threading.Event()
        self.lie: bytes | None = None
        self.up = bytearray()  # all that clients sent
        self.connections = 0
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.cut()

    def cut(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for each in self._sockets:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
                each.close()

    def puts(self) -> int:
        return bytes(self.up).count(b"PUT /v1/blobs/")

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                worker = socket.create_connection(self._target)
                with self._lock:
                    self.connections += 1
                    self._sockets += [client, worker]
                for source, sink, up in ((client, worker, True), (worker, client, False)):
                    threading.Thread(
                        target=self._pump, args=(source, sink, up), daemon=True
                    ).start()

    def _pump(self, source: socket.socket, sink: socket.socket, up: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if up:
                    self.up += data
                if self.stalled.is_set():
                    continue
                if up and self.lie and data.startswith(b"POST"):
                    source.sendall(self.lie)
                    continue
                sink.sendall(data)
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
