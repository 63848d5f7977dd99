"""A worker process to measure: started, asked, looked at through /proc."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..engine.conditions import Photo
from ..engine.errors import Unavailable
from ..engine.offload.client import WorkerClient
from ..engine.offload.workers import WorkerEntry

SIDE_PX = 512
NEVER = threading.Event()


@dataclass(frozen=True)
class Worker:
    process: subprocess.Popen[str]
    entry: WorkerEntry

    def children(self) -> list[int]:
        return children(self.process.pid)

    def client(self) -> WorkerClient:
        return WorkerClient(self.entry)


@lru_cache(maxsize=16)
def picture(seed: int = 0) -> Photo:
    """Smooth shapes, edges and some noise: compresses about as photos do."""
    rows, columns = np.mgrid[0:SIDE_PX, 0:SIDE_PX] / SIDE_PX
    waves = [np.sin(9 * rows + k) * np.cos(7 * columns - k) for k in range(3)]
    tiles = 40 * (np.floor(12 * rows + 5 * columns) % 2)[..., None]
    noise = np.random.default_rng(seed).normal(0, 4, (SIDE_PX, SIDE_PX, 3))
    whole = 108 + 70 * np.stack(waves, -1) + tiles + noise
    return Photo(np.clip(whole, 0, 255).astype(np.uint8))


@contextmanager
def worker_process() -> Generator[Worker]:
    command = [sys.executable, "-m", "comfyui_tandem.edge_worker", "--port", "0"]
    token = "benchmark-" + os.urandom(24).hex()
    environment = {**os.environ, "TANDEM_BENCHMARK": token}
    process = subprocess.Popen(  # noqa: S603
        [*command, "--token-env", "TANDEM_BENCHMARK"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        text=True,
    )
    try:
        ready = json.loads(process.stdout.readline() if process.stdout else "")
        worker = Worker(process, WorkerEntry("benchmark", ready["url"], token))
        wait_until(lambda: len(worker.children()) == 2)
        yield worker
    finally:
        process.kill()
        process.communicate()


def queue(client: WorkerClient) -> dict[str, float]:
    found = client.capabilities(timeout_s=10)
    return {"waiting": found.waiting, "running": found.running, "live": found.processes}


def live(client: WorkerClient) -> float:
    return queue(client)["live"]


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def memory_mb(worker: Worker) -> float:
    kilobytes = 0
    for pid in (worker.process.pid, *worker.children()):
        rows = Path(f"/proc/{pid}/status").read_text().splitlines()
        kilobytes += next(int(row.split()[1]) for row in rows if row.startswith("VmRSS:"))
    return kilobytes / 1024


def open_files(worker: Worker) -> int:
    return len(list(Path(f"/proc/{worker.process.pid}/fd").iterdir()))


def wait_until(what: Callable[[], bool], timeout_s: float = 30.0) -> None:
    ends = time.monotonic() + timeout_s
    while not what():
        if time.monotonic() > ends:
            raise Unavailable("worker", f"not as expected for {timeout_s:.0f} s", "read its log")
        time.sleep(0.005)


def timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def median_ms(seconds: list[float]) -> float:
    return 1e3 * statistics.median(seconds)


def quantile(values: list[float], share: float) -> float:
    return float(np.quantile(values, share))
