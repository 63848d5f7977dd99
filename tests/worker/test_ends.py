"""Workers and children that are killed at each point of a task, that come back, that are shared."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import numpy as np
import pytest
import requests
from comfyui_tandem.engine.conditions import ConditionRequest, detect
from comfyui_tandem.engine.offload.client import Transfer, WorkerClient
from comfyui_tandem.engine.wire.codecs import encode_photo
from comfyui_tandem.headless.server import free_port

from .conftest import BEARER, TOKEN, Running, alive, make_photo, spawn, wait_until, worker_process
from .odd_worker import hangs, odd_worker
from .test_signals import upload

pytestmark = pytest.mark.slow  # each starts a worker of its own
NEVER = threading.Event()
LONG_S = 60.0  # on a busy machine; nothing here is about speed
PATIENT = {"body_grace_s": LONG_S}
REQUEST = ConditionRequest("canny", 64)
Finish = Callable[[], int]  # the status that the started request ends with


def metrics(worker: Running) -> str:
    return requests.get(f"{worker.url}/v1/metrics", headers=BEARER, timeout=60).text


def asking(worker: Running, name: str, resolution: int = 64, **headers: str) -> HTTPConnection:
    wanted = json.dumps({"photo_sha256": upload(worker.url), "resolution": resolution})
    connection = HTTPConnection("127.0.0.1", worker.port, timeout=60)
    sent = {**BEARER, "Content-Type": "application/json", **headers}
    connection.request("POST", f"/v1/preprocess/{name}", wanted, sent)
    return connection


def uploading(worker: Running) -> Finish:
    data = encode_photo(make_photo(seed=5).pixels, "raw")
    half = len(data) // 2
    connection = HTTPConnection("127.0.0.1", worker.port, timeout=60)
    connection.putrequest("PUT", f"/v1/blobs/{hashlib.sha256(data).hexdigest()}")
    for key, value in {**BEARER, "Content-Length": str(len(data))}.items():
        connection.putheader(key, value)
    connection.endheaders(data[:half])
    wait_until(lambda: "tandem_photo_bytes_incoming 0\n" not in metrics(worker), LONG_S)

    def finish() -> int:
        connection.send(data[half:])
        return connection.getresponse().status

    return finish


def computing(worker: Running) -> Finish:
    connection = asking(worker, "hang")
    wait_until(hangs(worker.log).exists, LONG_S)  # a child killed before it took a task loses none
    return lambda: connection.getresponse().status


def waiting(worker: Running) -> Finish:
    first = computing(worker)
    second = asking(worker, "canny")
    wait_until(lambda: "tandem_tasks_waiting 1\n" in metrics(worker), LONG_S)
    return lambda: first() and second.getresponse().status


def answering(worker: Running) -> Finish:
    connection = asking(worker, "heavy", 512, **{"Tandem-Rate": "200000"})
    answer = connection.getresponse()

    def finish() -> int:
        assert len(answer.read()) == int(answer.headers["Content-Length"])
        return answer.status

    return finish


POINTS = {uploading: 201, waiting: 200, computing: 500, answering: 200}
NAMES = [point.__name__ for point in POINTS]


@pytest.mark.parametrize(("point", "status"), POINTS.items(), ids=NAMES)
def test_children_killed_at_each_point(
    tmp_path: Path, point: Callable[[Running], Finish], status: int
) -> None:
    """Only the task that computes is lost."""
    with odd_worker(tmp_path / "log", limits=PATIENT) as worker:
        finish = point(worker)
        for child in worker.children():
            os.kill(child, signal.SIGKILL)
        assert finish() == status
        assert asking(worker, "canny").getresponse().status == 200


@pytest.mark.parametrize("point", POINTS, ids=NAMES)
def test_server_killed_at_each_point(tmp_path: Path, point: Callable[[Running], Finish]) -> None:
    with odd_worker(tmp_path / "log", limits=PATIENT, blob_folder=str(tmp_path)) as worker:
        finish, children = point(worker), worker.children()
        worker.process.kill()
        with pytest.raises((OSError, HTTPException)):
            finish()
        wait_until(lambda: not any(alive(child) for child in children), LONG_S)
    with worker_process(tmp_path / "log2", "--no-spare", "--folder", str(tmp_path)) as again:
        assert asking(again, "canny").getresponse().status == 200
        assert len(list(tmp_path.glob("tandem-worker-*"))) == 1  # the killed one's is swept


@pytest.mark.parametrize("asks", [True, False])
def test_restart_between_upload_and_task(tmp_path: Path, asks: bool) -> None:
    """The photo goes up again, be it asked for first or, on a quick link, not."""
    photo, arguments = make_photo(), ("--no-spare", "--port", str(free_port()))
    with worker_process(tmp_path / "log", *arguments) as first:
        client = WorkerClient(first.entry)
        assert client.upload(photo, cancelled=NEVER, deadline_s=20) is not None
    if not asks:
        client._known.uplink.add(Transfer(10**9, 1.0))
        client._known.question_s = 1.0
    with worker_process(tmp_path / "log2", *arguments) as second:
        answer = client.preprocess(REQUEST, photo, cancelled=NEVER, deadline_s=20)
        np.testing.assert_array_equal(answer.picture, detect(REQUEST, photo))
        assert answer.up is not None
        assert ('method="HEAD"' in metrics(second)) is asks
    client.close()


CLIENT = """
import hashlib, json, os, sys, threading
import numpy as np
from comfyui_tandem.engine.conditions import ConditionRequest, Photo
from comfyui_tandem.engine.offload.client import WorkerClient
from comfyui_tandem.engine.offload.workers import WorkerEntry

client = WorkerClient(WorkerEntry("shed", sys.argv[1], token_env="TANDEM_TEST_TOKEN"))
photo = Photo(np.load(sys.argv[2]))
for number in range(12):
    request = ConditionRequest("canny", 64 + 8 * (number % 4))
    answer = client.preprocess(request, photo, cancelled=threading.Event(), deadline_s=60)
    print(hashlib.sha256(answer.picture.tobytes()).hexdigest())
client.close()
"""


def test_two_programs_share_a_worker(running: Running, tmp_path: Path) -> None:
    photo, file = make_photo(seed=6), tmp_path / "photo.npy"
    np.save(file, photo.pixels)
    command = [sys.executable, "-c", CLIENT, running.url, str(file)]
    environment = {**os.environ, "TANDEM_TEST_TOKEN": TOKEN}
    pair = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [program.communicate(timeout=120)[0].split() for program in pair]
    hints = [detect(ConditionRequest("canny", 64 + 8 * number), photo) for number in range(4)]
    expected = [hashlib.sha256(hint.tobytes()).hexdigest() for hint in hints] * 3
    assert said == [expected, expected]


LEAPING = """
import os, runpy, sys, time
real, flag = time.time, sys.argv[1]
time.time = lambda: real() + (365 * 86400.0 if os.path.exists(flag) else 0.0)
sys.argv = ["worker", "--port", "0", "--no-spare", "--token-env", "T"]
runpy.run_module("comfyui_tandem.edge_worker", run_name="__main__")
"""


@pytest.mark.parametrize("forward", [True, False])
def test_clock_that_leaps_a_year_changes_nothing(
    tmp_path: Path, forward: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    flag, real = tmp_path / "in a year", time.time
    monkeypatch.setattr(time, "time", lambda: real() + 365 * 86400 * flag.exists())
    if not forward:
        flag.touch()
    command = [sys.executable, "-c", LEAPING, str(flag)]
    with spawn(command, tmp_path / "log", {"T": TOKEN}) as worker:
        client, photo = WorkerClient(worker.entry), make_photo()
        client.preprocess(REQUEST, photo, cancelled=NEVER, deadline_s=20)
        form = {"photo_sha256": upload(worker.url), "parts": [{"detector": "tile"}]}
        job = requests.post(f"{worker.url}/v1/jobs", json=form, headers=BEARER, timeout=60).json()
        events = f"{worker.url}/v1/jobs/{job['id']}/events"
        requests.get(events, headers=BEARER, timeout=20)  # until its end
        flag.touch() if forward else flag.unlink()
        answer = client.preprocess(REQUEST, photo, cancelled=NEVER, deadline_s=20)
        assert answer.up is None  # the photo is still there
        result = f"{worker.url}/v1/jobs/{job['id']}/result/0"
        assert requests.get(result, headers=BEARER, timeout=60).status_code == 200
        client.close()
