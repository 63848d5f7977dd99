"""One HTTP call that can be given up at any moment: cancelled, too late, too long.

`requests` blocks, and its timeouts are for each read. So a call runs in a thread of its own, the
caller waits for it, and whoever gives up shuts the socket, which ends the thread.
"""

from __future__ import annotations

import io
import json
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, ReadTimeoutError

from ..errors import TandemError
from ..wire.pacing import TokenBucket
from ..wire.protocol import VERSION
from .workers import WorkerEntry

CONNECT_S = 3.0
POLL_S = 0.05
READ_BYTES = 65536
_running = threading.local()


class Cancelled(TandemError):
    """The caller's `cancelled` was set."""

    def __init__(self, what: str = "call", seen: object = "cancelled", do: str = "run it again"):
        super().__init__(what, seen, do)


class NoAnswer(Exception):
    """The call ended without an answer that can be used; `code` says which way."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code, detail)
        self.code, self.detail = code, detail


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer, and the seconds from the last byte out to the head and to the last byte in.

    `sending_s` is the time that the body took to leave, and to be acknowledged by the head.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    head_s: float
    total_s: float
    sending_s: float


class _Body(io.BytesIO):
    """Bytes that note when the first of them was asked for: the connection stood by then.

    With a bucket they come in chunks, no quicker than it allows, until the call is given up.
    """

    began: float | None = None

    def __init__(self, data: bytes, call: _Call, bucket: TokenBucket | None) -> None:
        super().__init__(data)
        self._call, self._bucket = call, bucket

    def read(self, size: int | None = -1, /) -> bytes:
        if self.began is None:
            self.began = time.perf_counter()
        if self._bucket is None:
            return super().read(size)
        most = self._bucket.chunk_bytes
        chunk = super().read(most if size is None or size < 0 else min(size, most))
        self._call.ended.wait(self._bucket.wait_s(len(chunk)))
        return chunk


class _Call:
    """What the waiting side needs of the thread that calls."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.reply: Reply | None = None
        self.error: BaseException | None = None
        self.connection: HTTPConnection | None = None
        self.ended = threading.Event()  # given up
        self.sent = 0.0

    def give_up(self) -> None:
        """End the call's thread; where it still connects, it ends before it sends."""
        self.ended.set()
        sock = getattr(self.connection, "sock", None)
        if sock is not None:
            with suppress(OSError):  # it is closed already
                # Not SSLSocket's own: that pulls the rug from under a read.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)


class _Plain(HTTPConnection):
    def connect(self) -> None:
        super().connect()
        _go_on(self)

    def request(self, *args: Any, **kwargs: Any) -> None:
        _note(self, super().request, *args, **kwargs)


class _Secure(HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        _go_on(self)

    def request(self, *args: Any, **kwargs: Any) -> None:
        _note(self, super().request, *args, **kwargs)


def _go_on(connection: HTTPConnection) -> None:
    """The connection stands: note it for whoever gives up, unless somebody has.

    Raises:
        NoAnswer: the call is given up.
    """
    call: _Call = _running.call
    call.connection = connection
    if call.ended.is_set():
        connection.close()
        raise NoAnswer("broken_link", "given up before it was sent")


def _note(connection: HTTPConnection, send: Any, *args: Any, **kwargs: Any) -> None:
    _go_on(connection)
    send(*args, **kwargs)
    _running.call.sent = time.perf_counter()


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain  # pyright: ignore[reportAssignmentType]


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _Secure  # pyright: ignore[reportAssignmentType]


_POOLS: dict[str, type[HTTPConnectionPool]] = {"http": _PlainPool, "https": _SecurePool}


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS  # pyright: ignore[reportAttributeAccessIssue]


class Http:
    """Pooled connections to one worker. No redirects, no proxies, no cookies, no .netrc."""

    def __init__(self, entry: WorkerEntry) -> None:
        self._url = entry.url.rstrip("/")
        self._session = session = requests.Session()
        session.trust_env = False
        session.verify = entry.ca_file or True
        session.cookies.set_policy(_NoCookies())
        for scheme in ("http://", "https://"):
            session.mount(scheme, _Adapter(pool_maxsize=16, max_retries=0))
        session.headers.clear()
        session.headers["User-Agent"] = f"tandem/{VERSION}"
        session.headers["Accept-Encoding"] = "identity"
        if (token := entry.secret()) is not None:
            session.headers["Authorization"] = f"Bearer {token}"

    def close(self) -> None:
        self._session.close()

    def ask(
        self,
        method: str,
        path: str,
        *,
        deadline_s: float,
        most_bytes: int,
        form: Mapping[str, Any] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        cancelled: threading.Event | None = None,
        bytes_per_s: float | None = None,
        arriving: Callable[[], None] | None = None,
    ) -> Reply:
        """Call and wait; the body goes out no quicker than `bytes_per_s`.

        `arriving` is called in another thread when the answer begins.

        Raises:
            Cancelled: within a tenth of a second after `cancelled` was set.
            NoAnswer: for every other reason why there is no whole answer in time.
        """
        if cancelled is not None and cancelled.is_set():
            raise Cancelled
        call = _Call()
        send = dict(headers or {})
        if form is not None:
            body = json.dumps(form, allow_nan=False).encode()
            send["Content-Type"] = "application/json"
        ends = time.monotonic() + deadline_s
        bucket = None if bytes_per_s is None else TokenBucket(bytes_per_s)

        def run() -> None:
            _running.call = call
            try:
                content = None if body is None else _Body(body, call, bucket)
                call.reply = self._run(
                    call, method, path, send, content, deadline_s, most_bytes, arriving
                )
            except BaseException as error:
                call.error = error  # for the waiting side
            finally:
                call.done.set()

        threading.Thread(target=run, daemon=True, name="tandem-call").start()
        while not call.done.wait(POLL_S):
            if cancelled is not None and cancelled.is_set():
                call.give_up()
                raise Cancelled
            if time.monotonic() > ends:
                call.give_up()
                raise NoAnswer("deadline", f"no answer within {deadline_s:.1f} s")
        if call.reply is None:
            raise _no_answer(call.error)
        return call.reply

    def _run(
        self,
        call: _Call,
        method: str,
        path: str,
        headers: dict[str, str],
        content: _Body | None,
        deadline_s: float,
        most_bytes: int,
        arriving: Callable[[], None] | None,
    ) -> Reply:
        response = self._session.request(
            method,
            self._url + path,
            data=content,
            headers=headers,
            timeout=(min(CONNECT_S, deadline_s), deadline_s),
            allow_redirects=False,
            stream=True,
        )
        with response:
            head = time.perf_counter()
            if arriving:
                arriving()
            if response.headers.get("Content-Encoding"):
                raise NoAnswer("lied", "an encoded body, which was not asked for")
            data = bytearray()
            while chunk := response.raw.read(READ_BYTES, decode_content=False):
                data += chunk
                if len(data) > most_bytes:
                    raise NoAnswer("lied", f"more than {most_bytes} bytes")
            length = response.headers.get("Content-Length")
            if method != "HEAD" and length is not None and length != str(len(data)):
                raise NoAnswer("broken_link", f"{len(data)} of {length:.20} bytes")
            end = time.perf_counter()
        began = content.began if content is not None and content.began else call.sent
        return Reply(
            response.status_code,
            response.headers,
            bytes(data),
            head_s=head - call.sent,
            total_s=end - call.sent,
            sending_s=head - began,
        )


class _NoCookies(DefaultCookiePolicy):
    def set_ok(self, cookie: Any, request: Any) -> bool:
        return False


def _no_answer(error: BaseException | None) -> NoAnswer:
    """Which kind of failure an error is; its text may hold the address and stays out."""
    if isinstance(error, NoAnswer):
        return error
    if isinstance(error, requests.exceptions.SSLError):
        return NoAnswer("tls", "its certificate is not trusted, or it speaks no TLS")
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return NoAnswer("unreachable", f"no connection within {CONNECT_S:.0f} s")
    if isinstance(error, requests.exceptions.ReadTimeout | ReadTimeoutError):
        return NoAnswer("deadline", "no answer in time")
    refused = _caused_by(error, ConnectionRefusedError)
    if refused or _caused_by(error, socket.gaierror):
        return NoAnswer("refused", "nobody listens there" if refused else "its name is unknown")
    if isinstance(error, requests.exceptions.RequestException | HTTPError | OSError | ValueError):
        return NoAnswer("broken_link", type(error).__name__)
    return NoAnswer("broken_link", f"unexpected {type(error).__name__}")


def _caused_by(error: BaseException | None, kind: type[BaseException]) -> bool:
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        if isinstance(one, kind):
            return True
        seen.add(id(one))
        waiting += [one.__cause__, one.__context__, getattr(one, "reason", None)]
        waiting += [arg for arg in one.args if isinstance(arg, BaseException)]
    return False
