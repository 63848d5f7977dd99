"""Who may ask, and how much: checked on every request before any route sees it.

Host, then who sends it, then token, then the body's kind and size. Web pages are kept out by the
first two: a rebound name is not one of ours, and browsers say in Origin or, on a plain GET, in
Sec-Fetch-Site that another site asks.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import re
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .meters import Meters
from .problem import Problem
from .settings import Settings

OPEN_PATHS = frozenset({"/v1/health/live", "/v1/health/ready"})
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
FAILURES, FAILURES_S = 10, 60.0
MOST_ADDRESSES = 4096
MOST_HEAD_BYTES = 16384
DEEPEST_JSON = 16
METHODS = frozenset({"GET", "HEAD", "PUT", "POST", "DELETE"})
_STREAMED = re.compile(r"/v1/blobs/[^/]*")
_HOST = re.compile(r"(?:\[([0-9a-fA-F:.]{2,45})\]|([A-Za-z0-9._-]{1,253}))(?::[0-9]{1,5})?")


class Failures:
    """Wrong tokens by address: after ten in a minute its next wrong ones are not even counted."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._times: OrderedDict[str, deque[float]] = OrderedDict()
        self.count = 0

    def add(self, address: str) -> None:
        self.count += 1
        self._times.setdefault(address, deque(maxlen=FAILURES)).append(self._clock())
        self._times.move_to_end(address)
        if len(self._times) > MOST_ADDRESSES:
            self._times.popitem(last=False)

    def wait_s(self, address: str) -> float:
        times = self._times.get(address)
        if times is None or len(times) < FAILURES:
            return 0.0
        return max(0.0, times[0] + FAILURES_S - self._clock())


class Gate:
    """ASGI middleware around the whole app; everything it refuses is problem+json."""

    def __init__(
        self, app: ASGIApp, settings: Settings, failures: Failures, meters: Meters
    ) -> None:
        self._app, self._settings, self._failures = app, settings, failures
        self._meters = meters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":  # no websockets here
            return await send({"type": "websocket.close", "code": 1008})
        send = self._counted(scope, send)
        try:
            _check_head(scope)
            self._check_host(scope)
            _check_site(scope)
            if scope["path"] not in OPEN_PATHS:
                self._check_token(scope)
            if _values(scope, b"content-encoding"):
                raise Problem("unsupported_type", "send the body without Content-Encoding")
            body = await self._small_body(scope, receive)
        except Problem as problem:
            answer = problem.response()
            if problem.code == "bad_request":  # where the next one begins is not sure either
                answer.headers["Connection"] = "close"
            return await answer(scope, receive, send)
        await self._app(scope, receive if body is None else _replay(body, receive), send)

    def _counted(self, scope: Scope, send: Send) -> Send:
        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", "none")
                method = scope["method"] if scope["method"] in METHODS else "other"
                self._meters.requests[(method, route, str(message["status"]))] += 1
                message["headers"] = [*message["headers"], (b"x-content-type-options", b"nosniff")]
            await send(message)

        return counted

    def _check_host(self, scope: Scope) -> None:
        values = _values(scope, b"host")
        match = _HOST.fullmatch(values[0].decode("latin-1")) if len(values) == 1 else None
        if match is None:
            raise Problem("bad_host", "send one Host header")
        name = (match[1] or match[2]).lower()
        server = scope.get("server")
        if name in LOCAL_NAMES or name in self._settings.allowed_hosts:
            return
        if server is None or not _same_address(name, str(server[0])):
            raise Problem("bad_host", f"{name!r:.80}: start the worker with --allow-host NAME")

    def _check_token(self, scope: Scope) -> None:
        token = self._settings.token
        if token is None:
            return
        values = _values(scope, b"authorization")
        if not values:
            raise Problem("no_token", "send Authorization: Bearer TOKEN")
        kind, _, given = values[0].partition(b" ")
        # Digests: then the comparison's time tells nothing of the length either.
        sides = (hashlib.sha256(text).digest() for text in (given.strip(), token.encode()))
        same = hmac.compare_digest(*sides)
        if len(values) == 1 and kind.lower() == b"bearer" and same:
            return  # whoever else comes from this address, such as through a shared tunnel
        address = client_address(scope)
        if (wait_s := self._failures.wait_s(address)) > 0:
            raise Problem("too_many_failures", "wait before you try again", retry_after_s=wait_s)
        self._failures.add(address)
        raise Problem("bad_token", "this worker has another token")

    async def _small_body(self, scope: Scope, receive: Receive) -> bytes | None:
        """The whole body of a request that is no upload, checked; None for uploads."""
        if scope["method"] == "PUT" and _STREAMED.fullmatch(scope["path"]):
            return None
        takes_body = scope["method"] == "POST" and scope["path"] not in OPEN_PATHS
        most = self._settings.json_bytes if takes_body else 0
        too_large = Problem("too_large", f"a request takes at most {most} bytes here")
        if int((_values(scope, b"content-length") or [b"0"])[0]) > most:
            raise too_large
        if not takes_body and _values(scope, b"transfer-encoding"):
            raise too_large  # at once: who has no token is not waited for
        body = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Problem("bad_request", "the body ended early")
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > most:
                raise too_large
        if body:
            kind = (_values(scope, b"content-type") or [b""])[0]
            if kind.partition(b";")[0].strip().lower() != b"application/json":
                raise Problem("unsupported_type", "send application/json")
            check_json(bytes(body))
        return bytes(body)


def check_json(body: bytes) -> None:
    """Refuse what costs more to parse than it is worth, or is no JSON by its own standard.

    Raises:
        Problem: too deep, NaN or infinity, a number of thousands of digits, or no JSON.
    """
    try:
        # The parser stops by itself at a depth of some hundreds, and reads each byte once.
        level = [json.loads(body, parse_constant=_refuse_constant)]
    except (ValueError, RecursionError):
        raise Problem("bad_request", "the body is no JSON") from None
    for _ in range(DEEPEST_JSON):
        level = [inner for value in level for inner in _inner(value)]
    if any(isinstance(value, dict | list) for value in level):
        raise Problem("bad_request", f"JSON deeper than {DEEPEST_JSON} levels")


def _inner(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def client_address(scope: Scope) -> str:
    """Where a request comes from, "" where there is no socket."""
    return str(scope["client"][0]) if scope.get("client") else ""


def _check_site(scope: Scope) -> None:
    """Origin may be "null", as a sandboxed frame sends; "none" is a person's own click."""
    sites = {value.strip().lower() for value in _values(scope, b"sec-fetch-site")}
    if _values(scope, b"origin") or sites - {b"none", b"same-origin"}:
        raise Problem("origin_refused", "web pages may not call this worker")


def _check_head(scope: Scope) -> None:
    """h11 limits heads that come in pieces, not those that come in one.

    Two lengths of a body (RFC 9112, 6.1): a proxy may believe the other one, and forward as a body
    what is taken for the next request here.
    """
    headers = scope["headers"]
    if _values(scope, b"content-length") and _values(scope, b"transfer-encoding"):
        raise Problem("bad_request", "send Content-Length or Transfer-Encoding, not both")
    size = len(scope.get("raw_path") or b"") + len(scope["query_string"])
    if size + sum(len(key) + len(value) for key, value in headers) > MOST_HEAD_BYTES:
        raise Problem("bad_request", f"a head takes at most {MOST_HEAD_BYTES} bytes here")


def _values(scope: Scope, name: bytes) -> list[bytes]:
    return [value for key, value in scope["headers"] if key == name]


def _same_address(name: str, address: str) -> bool:
    try:
        return ipaddress.ip_address(name) == ipaddress.ip_address(address)
    except ValueError:
        return False


def _replay(body: bytes, receive: Receive) -> Receive:
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return waiting.pop() if waiting else await receive()

    return replayed
