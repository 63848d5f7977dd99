"""A worker in process, a worker as a process, photos."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest
from comfyui_tandem.edge_worker.app import create_app
from comfyui_tandem.edge_worker.service import Service
from comfyui_tandem.edge_worker.settings import Settings
from comfyui_tandem.engine.conditions import DETECTORS, Photo
from comfyui_tandem.engine.offload.client import WorkerClient
from comfyui_tandem.engine.offload.workers import WorkerEntry

TOKEN = "t0ken-of-the-tests-abcdefghijklmnopqrstuvwxyz"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
FORMULAS = tuple(name for name, detector in DETECTORS.items() if detector.run is not None)
ODD_CHILD = Path(__file__).with_name("odd_child.py")
LONG_S = 60.0  # until a test gives up on what takes a moment, or seconds on a busy machine


def make_photo(height: int = 96, width: int = 128, seed: int = 0) -> Photo:
    """Smooth shapes with edges, so that no detector's answer is empty."""
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float64)
    rng = np.random.default_rng(seed)
    waves = [
        np.sin(rows / 7 + phase) + np.cos(columns / 9 - phase) for phase in rng.uniform(0, 6, 3)
    ]
    picture = 127 + 50 * np.stack(waves, axis=-1)
    picture[height // 4 : height // 2, width // 4 : width // 2] = rng.integers(0, 256, 3)
    return Photo(np.clip(picture, 0, 255).astype(np.uint8))


@pytest.fixture
def photo() -> Photo:
    return make_photo()


@dataclass
class InProcess:
    client: httpx.AsyncClient
    service: Service


@asynccontextmanager
async def in_process(settings: Settings, **options: object) -> AsyncGenerator[InProcess]:
    """The app with its children, without a socket."""
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        base = {"base_url": "http://localhost", "timeout": 30.0, **options}
        async with httpx.AsyncClient(transport=transport, **base) as client:  # type: ignore[arg-type]
            yield InProcess(client, app.state.service)


@dataclass
class Running:
    """A worker process."""

    process: subprocess.Popen[str]
    url: str
    port: int
    log: Path

    @property
    def entry(self) -> WorkerEntry:
        return WorkerEntry("shed", self.url, TOKEN)

    def children(self) -> list[int]:
        return children_of(self.process.pid)


def children_of(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in listed]


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):  # the latter: it went between open and read
        return False


def wait_until(what: Callable[[], object], timeout_s: float = LONG_S) -> None:
    ends = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < ends, f"not within {timeout_s} s"
        time.sleep(0.001)


@contextmanager
def worker_process(log: Path, *arguments: str, token: str | None = TOKEN) -> Generator[Running]:
    """A real worker on a free port; ended at the end, whatever happened to it."""
    command = [sys.executable, "-m", "comfyui_tandem.edge_worker", "--port", "0", *arguments]
    if token is None:
        with spawn(command, log, {}) as worker:
            yield worker
        return
    command += ["--token-env", "TANDEM_TEST_TOKEN"]
    with spawn(command, log, {"TANDEM_TEST_TOKEN": token}) as worker:
        yield worker


@contextmanager
def spawn(command: list[str], log: Path, variables: dict[str, str]) -> Generator[Running]:
    environment = {**os.environ, **variables}
    with log.open("w") as file:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=file, env=environment, text=True
        )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line, log.read_text()
        ready = json.loads(line)
        yield Running(process, ready["url"], ready["port"], log)
    finally:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGCONT)
            process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Generator[Running]:
    with worker_process(tmp_path_factory.mktemp("worker") / "log") as worker:
        yield worker


@pytest.fixture
def client(running: Running) -> Generator[WorkerClient]:
    client = WorkerClient(running.entry)
    yield client
    client.close()
