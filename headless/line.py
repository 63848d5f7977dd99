"""A network line of our own: a TCP relay with a rate each way and a delay, for tests and figures.

What two connections send the same way shares the rate in the order in which it arrives.
"""

from __future__ import annotations

import queue
import socket
import threading
import time
from contextlib import suppress
from typing import Self
from urllib.parse import urlsplit

CHUNK_BYTES = 4096
BUFFER_BYTES = 32768  # small: what lies in a buffer is not limited by the rate


class Line:
    """`with Line(url, up, down, delay_s) as line:` listens on `line.url`.

    `lie`: what every POST is answered instead of being passed on.
    """

    def __init__(
        self, target: str, up_bytes_per_s: float, down_bytes_per_s: float, delay_s: float = 0.0
    ) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname or "", parts.port or 0)
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(64)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.ways = {True: _Way(up_bytes_per_s), False: _Way(down_bytes_per_s)}
        self.delay_s = delay_s
        self.is_open = threading.Event()
        self.is_open.set()
        self.lie: bytes | None = None
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True, name="line").start()
        return self

    def __exit__(self, *error: object) -> None:
        self.is_open.set()
        _close(self._listener)
        with self._lock:
            for each in self._sockets:
                _close(each)

    def cut(self) -> None:
        """Nothing passes until `mend`; connections stay."""
        self.is_open.clear()

    def mend(self) -> None:
        self.is_open.set()

    def slow_down(self, factor: float) -> None:
        for way in self.ways.values():
            way.bytes_per_s /= factor

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    worker = socket.create_connection(self._target, timeout=3.0)
                except OSError:  # nobody listens there any more: say so as it would
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    client.close()
                    continue
                worker.settimeout(None)
                for one in (client, worker):
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with self._lock:
                    self._sockets += [client, worker]
                for source, sink, up in ((client, worker, True), (worker, client, False)):
                    _Pipe(self, source, sink, up).start()


class _Way:
    """One direction: who sends, waits until those before are through."""

    def __init__(self, bytes_per_s: float) -> None:
        self.bytes_per_s = bytes_per_s
        self._lock = threading.Lock()
        self._free = 0.0

    def through(self, count: int) -> float:
        """The time at which these bytes are through."""
        with self._lock:
            self._free = max(self._free, time.monotonic()) + count / self.bytes_per_s
            return self._free


class _Pipe:
    """One direction of one connection: a thread that reads, one that writes what is due."""

    def __init__(self, line: Line, source: socket.socket, sink: socket.socket, up: bool) -> None:
        self._line, self._source, self._sink, self._up = line, source, sink, up
        self._late: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()

    def start(self) -> None:
        for work in (self._read, self._write):
            threading.Thread(target=work, daemon=True, name="line").start()

    def _read(self) -> None:
        with suppress(OSError):
            while data := self._source.recv(CHUNK_BYTES):
                self._line.is_open.wait()
                end = self._line.ways[self._up].through(len(data))
                _sleep_until(end)
                lie = self._line.lie
                if self._up and lie is not None and data.startswith(b"POST"):
                    self._source.sendall(lie)
                    continue
                self._late.put((end + self._line.delay_s, data))
        self._late.put((0.0, b""))

    def _write(self) -> None:
        while True:
            due, data = self._late.get()
            if not data:
                break
            _sleep_until(due)
            self._line.is_open.wait()
            try:
                self._sink.sendall(data)
            except OSError:
                break
        _close(self._sink)
        _close(self._source)


def _sleep_until(due: float) -> None:
    left = due - time.monotonic()
    if left > 0:
        time.sleep(left)


def _close(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
