"""The edge worker answers within milliseconds, frees its device at once and does not grow.

A real worker process on loopback, asked through the pack's own client; its detectors run in child
processes as always. Nothing is emulated: a hung detector is a child stopped by SIGSTOP.
"""

from __future__ import annotations

import hashlib
import http.client
import socket
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import requests

from ..engine.conditions import ConditionRequest, Photo, detect
from ..engine.errors import Unavailable
from ..engine.offload.client import WorkerClient, WorkerFailed
from ..engine.wire.codecs import PhotoLimits, decode_hint, decode_photo, encode_hint, encode_photo
from .worker_process import (
    NEVER,
    SIDE_PX,
    Worker,
    median_ms,
    memory_mb,
    open_files,
    picture,
    quantile,
    timed,
    worker_process,
)
from .worker_stops import cancels, drain_seconds, kills, replacements

CLIENTS = (1, 8, 64)


@dataclass(frozen=True)
class Settings:
    """How often each thing is done."""

    calls: int = 200
    calls_a_load: int = 600
    cancels: int = 50
    replacements: int = 15
    requests: int = 10_000
    kill_seconds: float = 60.0


QUICK = Settings(
    calls=30, calls_a_load=64, cancels=6, replacements=3, requests=200, kill_seconds=3.0
)
EXACT = (
    "failed_calls",
    "different_hints",
    "different_hints_under_kills",
    "odd_errors_under_kills",
)


def measure(settings: Settings) -> dict[str, float]:
    """All figures; needs Linux, whose /proc tells of processes and their memory."""
    if not Path("/proc/self/task").exists():
        raise Unavailable("/proc", "not there", "measure the worker on Linux")
    figures: dict[str, float] = {}
    with worker_process() as worker:
        figures |= _overhead(worker, settings)
        for clients in CLIENTS:
            figures |= _load(worker, clients, settings)
        figures |= _growth(worker, settings)
        figures |= cancels(worker, settings.cancels)
        figures |= replacements(worker, settings.replacements)
        figures |= kills(worker, settings.kill_seconds)
        figures["drain_s"] = drain_seconds(worker)
    return figures


# --- one call against the same call without a worker


def _overhead(worker: Worker, settings: Settings) -> dict[str, float]:
    """Added milliseconds of a photo that the worker has not seen, over the same call without it.

    Beyond computing, beyond coding on both sides, and beyond what the same bytes take on a bare
    connection; and the same for a photo that is there.
    """
    client, wanted = _Timed(worker.entry), ConditionRequest("canny", SIDE_PX)
    direct, remote, different = [], [], 0
    cold: list[float] = []
    warm: list[float] = []
    beyond_upload: list[float] = []
    limits = PhotoLimits()
    for number in range(settings.calls):
        photo = picture(1000 + number)
        expected, data = detect(wanted, photo), encode_photo(photo.pixels, "webp")
        direct.append(
            timed(lambda data=data: encode_hint(detect(wanted, Photo(decode_photo(data, limits)))))
        )
        png = encode_hint(expected)
        decoding_s = timed(lambda png=png, like=expected: decode_hint(png, like.shape))
        for spent in (cold, warm):
            client.coded_s, client.sent_bytes = 0.0, 0
            began = time.perf_counter()
            answer = client.preprocess(wanted, photo, cancelled=NEVER, deadline_s=20)
            took = time.perf_counter() - began
            coding_s = answer.codec_s + client.coded_s + decoding_s
            moving_s = _loopback_s(client.sent_bytes + len(png))
            spent.append(took - answer.compute_s - coding_s - moving_s)
            if answer.up is not None:  # as the planner counts it: with what the worker does to it
                beyond_upload.append(took - answer.compute_s - coding_s - answer.up.seconds)
            different += not np.array_equal(answer.picture, expected)
            if spent is warm:
                remote.append(took)
    bare = [timed(lambda: _bare(worker)) for _ in range(settings.calls)]
    client.close()
    return {
        "direct_ms": median_ms(direct),
        "remote_warm_ms": median_ms(remote),
        "overhead_ms": median_ms(cold),
        "overhead_p99_ms": 1e3 * quantile(cold, 0.99),
        "overhead_beyond_upload_ms": median_ms(beyond_upload),
        "overhead_warm_ms": median_ms(warm),
        "bare_request_ms": median_ms(bare),
        "different_hints": different,
    }


class _Timed(WorkerClient):
    """The client, which notes what it encodes and for how long."""

    coded_s, sent_bytes = 0.0, 0

    def _encode(self, photo: Photo) -> bytes:
        began = time.perf_counter()
        data = super()._encode(photo)
        self.coded_s += time.perf_counter() - began
        self.sent_bytes += len(data)
        return data


def _loopback_s(count: int) -> float:
    """Seconds that so many bytes take through a socket of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        here = socket.create_connection(server.getsockname())
        there, _ = server.accept()
    data = bytes(count)
    with here, there:
        began = time.perf_counter()
        sending = threading.Thread(target=here.sendall, args=(data,))
        sending.start()
        while count > 0:
            count -= len(there.recv(65536))
        seconds = time.perf_counter() - began
        sending.join()
    return seconds


def _bare(worker: Worker) -> None:
    """A request to the same process that computes nothing, over a connection of its own."""
    host, port = worker.entry.url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    connection.request("GET", "/v1/health/live")
    connection.getresponse().read()
    connection.close()


# --- many clients


def _load(worker: Worker, clients: int, settings: Settings) -> dict[str, float]:
    photo, wanted = picture(), ConditionRequest("canny", SIDE_PX)
    made = [worker.client() for _ in range(clients)]
    made[0].upload(photo, cancelled=NEVER, deadline_s=20)
    each = max(1, settings.calls_a_load // clients)

    def ask(client: WorkerClient) -> list[float]:
        return [
            timed(lambda: client.preprocess(wanted, photo, cancelled=NEVER, deadline_s=60))
            for _ in range(each)
        ]

    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        seconds = [second for one in pool.map(ask, made) for second in one]
    took = time.perf_counter() - began
    for client in made:
        client.close()
    what = f"{clients}_client{'' if clients == 1 else 's'}"
    return {
        f"requests_per_s_{what}": len(seconds) / took,
        f"p50_ms_{what}": 1e3 * quantile(seconds, 0.5),
        f"p99_ms_{what}": 1e3 * quantile(seconds, 0.99),
    }


def _growth(worker: Worker, settings: Settings) -> dict[str, float]:
    """Memory of the server and its children over many requests of all kinds, after a tenth.

    The hints of jobs count apart: the worker keeps them for ten minutes, up to a limit.
    """
    client = worker.client()
    ends: Counter[str] = Counter()
    start, files, kept_before = 0.0, 0, 0
    for number in range(settings.requests):
        if number == settings.requests // 10:
            start, files, kept_before = memory_mb(worker), open_files(worker), ends["kept_bytes"]
        if number % 10 == JOB:
            ends["kept_bytes"] += _job(worker, picture(number % 5))
        else:
            ends[_mixed(client, number)] += 1
    client.close()
    kept_mb = (ends["kept_bytes"] - kept_before) / 2**20
    return {
        "memory_mb": memory_mb(worker),
        "kept_hints_mb": kept_mb,
        f"memory_growth_mb_{_thousands(settings.requests)}": memory_mb(worker) - start - kept_mb,
        "open_files_growth": open_files(worker) - files,
        "failed_calls": ends["failed"],
        "refused_calls_share": ends["refused"] / settings.requests,
    }


JOB = 2  # of ten requests
KINDS = ("canny", "tile", "blur", "scribble")


def _mixed(client: WorkerClient, number: int) -> str:
    """One request: hints of several detectors and sizes, of old and new photos, refusals."""
    photo = picture(number if number % 20 == 3 else number % 5)
    try:
        match number % 10:
            case 0:
                client.capabilities()
            case 1:  # refused: a value out of range
                wrong = ConditionRequest("canny", 128, params={"low": 999})
                client.preprocess(wrong, photo, cancelled=NEVER, deadline_s=20)
            case kind:
                wanted = ConditionRequest(KINDS[kind % len(KINDS)], 64 * (1 + kind % 4))
                client.preprocess(wanted, photo, cancelled=NEVER, deadline_s=20)
    except WorkerFailed as error:
        return "refused" if error.code == "bad_param" else "failed"
    return "done"


def _job(worker: Worker, photo: Photo) -> int:
    """Two detectors as a job, with its events and its results; the bytes of these."""
    data = encode_photo(photo.pixels, "webp")
    blob, url = hashlib.sha256(data).hexdigest(), worker.entry.url
    with requests.Session() as session:
        session.trust_env = False
        session.headers["Authorization"] = f"Bearer {worker.entry.secret()}"
        session.put(f"{url}/v1/blobs/{blob}", data=data, timeout=20).raise_for_status()
        parts = [{"detector": name, "resolution": 128} for name in ("canny", "tile")]
        form = {"photo_sha256": blob, "parts": parts}
        made = session.post(f"{url}/v1/jobs", json=form, timeout=20)
        made.raise_for_status()
        job = f"{url}/v1/jobs/{made.json()['id']}"
        session.get(f"{job}/events", timeout=20).raise_for_status()
        size = 0
        for number in range(len(parts)):
            result = session.get(f"{job}/result/{number}", timeout=20)
            result.raise_for_status()
            size += len(result.content)
    return size


def _thousands(count: int) -> str:
    return f"{count // 1000}k" if count >= 1000 else str(count)
