"""An edge worker process of our own, or one that runs elsewhere, made known to a ComfyUI."""

from __future__ import annotations

import os
import secrets
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import requests

from ..engine.errors import Unavailable
from ..engine.offload.client import WorkerClient
from ..engine.offload.workers import WorkerEntry, add_worker
from .child import Child, module_command
from .server import free_port

TOKEN_VARIABLE = "TANDEM_TOKEN"  # noqa: S105 - the name of the variable


class WorkerProcess:
    """One running worker; `with WorkerProcess.start(...) as worker:` ends it."""

    def __init__(self, child: Child, entry: WorkerEntry) -> None:
        self.child, self.entry = child, entry

    @classmethod
    def start(cls, alias: str, *, log: Path, port: int | None = None) -> Self:
        """Starts it on this machine, with a token that only this run knows; does not wait."""
        token, port = secrets.token_urlsafe(32), port or free_port()
        command = module_command("comfyui_tandem.edge_worker")
        command += ["--port", str(port), "--token-env", TOKEN_VARIABLE]
        child = Child(command, log=log, env={TOKEN_VARIABLE: token})
        return cls(child, WorkerEntry(alias, f"http://127.0.0.1:{port}", token=token))

    def wait_ready(self, timeout_s: float = 60.0) -> None:
        """Returns when it takes work.

        Raises:
            Unavailable: it ended, or was silent too long; with the end of its log.
        """
        end = time.monotonic() + timeout_s
        while not is_ready(self.entry.url):
            if self.child.exit_code is not None or time.monotonic() > end:
                code = self.child.exit_code
                seen = (
                    f"silent for {timeout_s:.0f} s" if code is None else f"ended with code {code}"
                )
                do = f"read {self.child.log}, which ends with:\n{self.child.tail()}\n"
                raise Unavailable("worker", seen, do)
            time.sleep(0.1)

    def stop(self) -> None:
        self.child.stop(12.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def elsewhere(alias: str, url: str, ca_file: str | None = None) -> WorkerEntry:
    """One that somebody else started; its token stays in the environment.

    Raises:
        TandemError: it does not take work from us, and why.
    """
    url = url.rstrip("/")
    entry = WorkerEntry(
        alias,
        url,
        token_env=TOKEN_VARIABLE if os.environ.get(TOKEN_VARIABLE) else None,
        ca_file=str(Path(ca_file).expanduser().resolve()) if ca_file else None,
        allow_http=url.startswith("http://"),  # who types the address knows the network
    )
    client = WorkerClient(entry)
    try:
        client.capabilities()
    finally:
        client.close()
    return entry


def register(user_directory: Path, entry: WorkerEntry) -> None:
    """Makes it known to the ComfyUI that keeps its user files there."""
    add_worker(registry(user_directory), entry)


def registry(user_directory: Path) -> Path:
    """Tandem's own folder among a ComfyUI's user files."""
    folder = user_directory / "__tandem"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def is_ready(url: str) -> bool:
    """Whether a worker answers there and takes work."""
    try:
        with requests.Session() as session:
            session.trust_env = False
            return session.get(f"{url}/v1/health/ready", timeout=2).status_code == 200
    except requests.RequestException:
        return False
