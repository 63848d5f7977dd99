"""Bind, serve, say when ready, stop in time."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn

from ..engine.errors import BadInput, Unavailable
from .app import create_app
from .doors import listen
from .gate import MOST_HEAD_BYTES
from .guard import ConnectionLimits, Guard
from .isolation import hide_from_children
from .service import Service
from .settings import Settings

log = logging.getLogger(__name__)
SHORTEST_TOKEN = 32
HANDSHAKE_S = 5.0
IDLE_S = 75  # uvicorn's own; the guard is there before it
MOST_FILES = 4096
LIMITS = ConnectionLimits()


@dataclass(frozen=True, slots=True)
class Address:
    """Where a worker listens, and with which certificate."""

    host: str = "127.0.0.1"
    port: int = 8801
    certfile: Path | None = None
    keyfile: Path | None = None
    plain_http: bool = False  # on a public address, knowingly

    @property
    def public(self) -> bool:
        if self.host == "localhost":
            return False
        try:
            return not ip_address(self.host).is_loopback
        except ValueError:
            return True  # a name may lead anywhere

    @property
    def scheme(self) -> str:
        return "https" if self.certfile else "http"


def check_exposure(address: Address, settings: Settings) -> None:
    """Refuse to start what strangers could use or overhear.

    Raises:
        BadInput: a public address without a long token, or without TLS unless asked for.
    """
    token = settings.token
    if token is not None and (len(token) < SHORTEST_TOKEN or len(set(token)) < 8):
        seen = f"{len(token)} characters"  # never the token itself
        do = f"make one of {SHORTEST_TOKEN} or more random ones: openssl rand -hex 32"
        raise BadInput("token", seen, do)
    if address.keyfile and not address.certfile:
        raise BadInput("--keyfile", str(address.keyfile), "give its --certfile too")
    if not address.public:
        return
    if token is None:
        do = "give --token-env NAME or --token-file FILE, or listen on 127.0.0.1"
        raise BadInput("public address without a token", address.host, do)
    if address.certfile is None:
        do = "give --certfile and --keyfile, or --plain-http where the network is trusted"
        if not address.plain_http:
            raise BadInput("public address without TLS", address.host, do)
        log.warning("plain HTTP on %s: token and pictures can be read on the way", address.host)


class WorkerServer(uvicorn.Server):
    """uvicorn with a line on standard output when ready, and a drain before it stops."""

    def __init__(self, config: uvicorn.Config, address: Address, service: Service) -> None:
        super().__init__(config)
        self._address, self._service = address, service
        self._draining: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._told = False  # to stop

    async def startup(self, sockets: Any = None) -> None:
        if self.should_exit:
            return
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        if self.should_exit:
            return
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        host = f"[{host}]" if ":" in host else host
        url = f"{self._address.scheme}://{host}:{port}"
        log.info("worker ready on %s", url)
        line = {"ready": True, "url": url, "port": port, "pid": os.getpid()}
        sys.stdout.write(json.dumps({**line, "instance": self._service.instance}) + "\n")
        sys.stdout.flush()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal drains, or gives up the start; the second one stops at once."""
        if self._loop is None or self._told:
            self.should_exit = self.force_exit = True
        else:
            self._loop.call_soon_threadsafe(self._begin_stop)
        self._told = True

    def _begin_stop(self) -> None:
        if self.started:
            log.info("stopping: nothing new is taken")
            self._draining = asyncio.create_task(self._drain())
        else:
            log.info("stopped while starting")
            self.should_exit = True
            self._service.give_up_opening()

    async def _drain(self) -> None:
        try:
            await self._service.drain()
        finally:
            self.should_exit = True


def new_loop(address: Address) -> asyncio.AbstractEventLoop:
    """An event loop whose servers wait neither a minute for TLS to begin nor half for its end."""
    loop = asyncio.new_event_loop()
    if address.certfile is not None:
        quick: Any = partial(
            loop.create_server,
            ssl_handshake_timeout=HANDSHAKE_S,
            ssl_shutdown_timeout=HANDSHAKE_S,
        )
        loop.create_server = quick
    return loop


def allow_many_files() -> int:
    """How many files may be open, as many as the limits want where the system lets them.

    A connection is a file, and so is an upload.
    """
    if sys.platform == "win32":
        return MOST_FILES
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if most == resource.RLIM_INFINITY else min(most, MOST_FILES)
    with suppress(ValueError, OSError):  # then as many as there were
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def end_with_terminal() -> None:
    """Stop as told by SIGTERM when the terminal or SSH session closes, unless started by nohup."""
    if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))


def serve(settings: Settings, address: Address, limits: ConnectionLimits = LIMITS) -> int:
    """Serve until a signal says stop.

    Returns:
        0, or 3 where the worker cannot start.
    Raises:
        Unavailable: the address cannot be used.
    """
    check_exposure(address, settings)
    limits = limits.within(allow_many_files())
    end_with_terminal()
    hide_from_children()
    app = create_app(settings)
    service: Service = app.state.service
    guard = Guard(limits, service.meters)
    try:
        listeners = listen(address.host, address.port, guard.doors)
    except OSError as error:
        where = f"{address.host} port {address.port}"
        raise Unavailable("address", where, f"choose another: {error.strerror}") from error
    config = uvicorn.Config(
        app,
        http=guard.protocol,  # type: ignore[arg-type]
        ws="none",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # anyone on this machine could forge the client's address
        server_header=False,
        h11_max_incomplete_event_size=MOST_HEAD_BYTES,
        timeout_keep_alive=IDLE_S,
        timeout_graceful_shutdown=1,
        ssl_certfile=address.certfile,
        ssl_keyfile=address.keyfile,
        backlog=limits.all,  # so many are taken in before anyone is crowded out
    )
    try:
        config.load()
    except OSError as error:  # ssl's are such
        for listener in listeners:
            listener.close()
        do = f"give a PEM certificate and its --keyfile: {error.strerror or 'not readable'}"
        raise BadInput("--certfile", str(address.certfile), do) from error
    server = WorkerServer(config, address, service)
    with asyncio.Runner(loop_factory=partial(new_loop, address)) as runner:
        try:
            runner.run(server.serve([*listeners]))
        except SystemExit as error:  # uvicorn's way to say that it could not start
            return int(error.code or 0)
        finally:
            for listener in listeners:
                listener.close()
    return 0
