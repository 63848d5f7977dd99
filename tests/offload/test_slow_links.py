"""A worker that stops in the middle of an upload, and one that is far away."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import requests
from comfyui_tandem.engine.conditions import Condition, ConditionRequest, Photo, detect
from comfyui_tandem.engine.offload import Costs, WorkerClient, WorkerFailed, plan_conditions
from comfyui_tandem.headless.line import Line
from comfyui_tandem.headless.worker import WorkerProcess

from .runs import LONG_S, at_edge, check_hints, run, threads_end, wait_until

pytestmark = pytest.mark.quick

NEVER = threading.Event()
REQUEST = ConditionRequest("canny", 128)
SLOW, QUICK = 3e5, 1.25e7  # bytes a second


def noise(seed: int, side: int = 512) -> Photo:
    """Which nothing compresses: 0.8 MB, nearly three seconds of a slow line."""
    return Photo(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8))


def conditions(photo: Photo, where: str = "auto") -> list[Condition]:
    names = ("canny", "tile")
    return [Condition(ConditionRequest(name, 128, where=where), (photo,)) for name in names]


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[WorkerProcess]:
    with WorkerProcess.start("garage", log=tmp_path / "log") as worker:
        worker.wait_ready()
        yield worker
        with suppress(ProcessLookupError):
            os.kill(worker.child.pid, signal.SIGCONT)  # else it would not hear that it is to end


def stop_in_an_upload(worker: WorkerProcess) -> threading.Thread:
    """Stops the process, as a paused virtual machine is, once it has the head of a photo."""
    head = {"Authorization": f"Bearer {worker.entry.secret()}"}

    def is_receiving() -> bool:
        text = requests.get(f"{worker.entry.url}/v1/metrics", headers=head, timeout=LONG_S).text
        return "tandem_photo_bytes_incoming 0\n" not in text

    def stop() -> None:
        wait_until(is_receiving)
        os.kill(worker.child.pid, signal.SIGSTOP)

    thread = threading.Thread(target=stop)
    thread.start()
    return thread


# --- stopped in the middle of an upload


def test_an_upload_to_a_stopped_worker_ends_at_its_deadline(worker: WorkerProcess) -> None:
    photo = noise(1)
    with Line(worker.entry.url, SLOW, SLOW) as line:
        client = WorkerClient(replace(worker.entry, url=line.url))
        stopping = stop_in_an_upload(worker)
        with pytest.raises(WorkerFailed) as caught:
            client.upload(photo, cancelled=NEVER, deadline_s=6.0)
        assert caught.value.code == "deadline"
        stopping.join()
        os.kill(worker.child.pid, signal.SIGCONT)
        answer = client.preprocess(REQUEST, photo, cancelled=NEVER, deadline_s=LONG_S)
        np.testing.assert_array_equal(answer.picture, detect(REQUEST, photo))
        client.close()


def test_a_run_whose_worker_stops_in_an_upload_ends_here(worker: WorkerProcess) -> None:
    with Line(worker.entry.url, SLOW, SLOW) as line:
        entry = replace(worker.entry, url=line.url)
        offload = at_edge(plan_conditions(conditions(noise(2)), [entry], Costs()))
        stopping = stop_in_an_upload(worker)
        outcome = run(offload)
        stopping.join()
        check_hints(offload, outcome)
        assert [(row.status, row.worker) for row in outcome.rows] == [("moved", None)] * 2
        assert len(outcome.warnings) == 1 and "garage" in outcome.warnings[0]
        assert threads_end()  # the upload was given up, not only no longer waited for


# --- far away


def test_a_link_with_two_seconds_of_delay_only_takes_longer(worker: WorkerProcess) -> None:
    """There and back, of each question; nothing is taken for a failure or asked twice."""
    near = plan_conditions(conditions(noise(3, side=192), "edge"), [worker.entry], Costs())
    with Line(worker.entry.url, QUICK, QUICK, delay_s=1.0) as line:
        entry = replace(worker.entry, url=line.url)
        offload = replace(near, workers=(entry,))
        outcome = run(offload)
        check_hints(offload, outcome)
        assert [(row.status, row.worker) for row in outcome.rows] == [("done", "garage")] * 2
        assert outcome.warnings == ()
        client = WorkerClient(entry)
        assert client.capabilities(LONG_S).round_trip_s >= 2.0
        client.close()
