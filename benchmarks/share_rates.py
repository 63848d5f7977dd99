"""Part of `offload`: how far real transfers are from the share of a link that they are given.

Both ways over a line that is much quicker: what limits them is the sender's own token bucket.
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ..engine.conditions import ConditionRequest, Photo
from ..engine.offload import WorkerClient, WorkerEntry
from ..engine.offload.call import Http
from ..headless.worker import WorkerProcess

RATE = 1.25e6  # bytes a second: 10 Mbit/s
OVER_S = 2.0  # what a share is kept over
SENT_S, STEP_S = 3.0, 0.1
NEVER = threading.Event()


def rate_errors_pct() -> dict[str, float]:
    """The worst of any two seconds upwards, and of one long transfer downwards."""
    return {"share_rate_error_pct_up": 100 * _up(), "share_rate_error_pct_down": 100 * _down()}


def _up() -> float:
    """Of a body that the client sends to somebody who only reads."""
    arrived: list[tuple[float, int]] = []
    size = int(SENT_S * RATE)

    def read(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            while sum(count for _, count in arrived) < size:
                data = connection.recv(65536)
                arrived.append((time.monotonic(), len(data)))
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=read, args=(listener,), daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with closing(Http(WorkerEntry("reader", url, token="none"))) as http:  # noqa: S106
            http.ask("PUT", "/", deadline_s=30, most_bytes=10, body=bytes(size), bytes_per_s=RATE)
        thread.join()
    times, sizes = np.array(arrived).T
    starts = np.arange(times[0], times[-1] - OVER_S, STEP_S)
    carried = [sizes[(times >= start) & (times < start + OVER_S)].sum() for start in starts]
    return float(np.abs(np.array(carried) / (OVER_S * RATE) - 1).max())


def _down() -> float:
    """Of a hint that takes the worker as long as the share is kept over."""
    pixels = np.random.default_rng(0).integers(0, 256, (512, 512, 3), dtype=np.uint8)
    photo, request = Photo(pixels), ConditionRequest("tile", 512, {"factor": 1.0})
    with (
        TemporaryDirectory() as folder,
        WorkerProcess.start("sender", log=Path(folder) / "log") as worker,
    ):
        worker.wait_ready()
        with closing(WorkerClient(worker.entry)) as client:
            once = client.preprocess(request, photo, cancelled=NEVER, deadline_s=30)
            rate = once.down.bytes / OVER_S
            paced = client.preprocess(
                request, photo, cancelled=NEVER, deadline_s=30, bytes_per_s=rate
            )
    return abs(paced.down.bytes / (rate * paced.down.seconds) - 1)
