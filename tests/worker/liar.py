"""A server that answers whatever a test wants, byte by byte."""

from __future__ import annotations

import json
import socket
import socketserver
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from comfyui_tandem.engine.wire.problems import PROBLEM_TYPE, problem_form

Answer = Callable[[socket.socket, str], None]  # gets the connection and "METHOD path"


def reply(
    body: bytes = b"", status: int = 200, kind: str = "application/json", **headers: str
) -> Answer:
    lines = [f"HTTP/1.1 {status} X", f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    whole = "\r\n".join([*lines, "", ""]).encode() + body
    return raw(whole)


def problem(code: str, status: int, **headers: str) -> Answer:
    form = problem_form(code, "as a test wants it")
    return reply(json.dumps(form).encode(), status, PROBLEM_TYPE, **headers)


def raw(data: bytes) -> Answer:
    return lambda connection, _: connection.sendall(data)


@dataclass
class Liar:
    """Answers by the beginning of "METHOD path"; the longest fits."""

    answers: dict[str, Answer]
    url: str = ""
    asked: list[str] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def serve(self, connection: socket.socket) -> None:
        file = connection.makefile("rb")
        while line := file.readline().decode("latin-1"):
            head, length = line, 0
            while (row := file.readline().decode("latin-1")) not in ("\r\n", ""):
                head += row
                if row.lower().startswith("content-length:"):
                    length = int(row.split(":")[1])
            what = line.rsplit(" ", 1)[0]
            self.asked.append(what)
            self.heads.append(head)
            keys = [key for key in self.answers if what.startswith(key)]
            if "cut" in self.answers and what.startswith("PUT"):
                file.read(min(length, 1000))
                return
            file.read(length)
            self.answers[max(keys, key=len)](connection, what)


@contextmanager
def lying(answers: dict[str, Answer]) -> Generator[Liar]:
    liar = Liar(answers)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                liar.serve(self.request)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads, allow_reuse_address = True, True
        block_on_close = False

    with Server(("127.0.0.1", 0), Handler) as server:
        liar.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield liar
        finally:
            liar.stop.set()
            server.shutdown()
            thread.join()
