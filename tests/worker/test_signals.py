"""A real process: signals, kills, sockets, its token in no output."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Generator
from pathlib import Path

import pytest
import requests
from comfyui_tandem.engine.conditions import ConditionRequest
from comfyui_tandem.engine.offload.client import Cancelled, WorkerClient, WorkerFailed
from comfyui_tandem.engine.wire.codecs import encode_photo

from .conftest import (
    BEARER,
    LONG_S,
    TOKEN,
    Running,
    alive,
    children_of,
    make_photo,
    wait_until,
    worker_process,
)
from .odd_worker import HERE as ODD_WORKER
from .odd_worker import let_go, odd_worker

pytestmark = pytest.mark.slow  # each starts a worker of its own
NEVER = threading.Event()


def upload(url: str) -> str:
    import hashlib

    data = encode_photo(make_photo().pixels, "webp")
    blob = hashlib.sha256(data).hexdigest()
    requests.put(f"{url}/v1/blobs/{blob}", data=data, headers=BEARER, timeout=60).raise_for_status()
    return blob


def ask(worker: Running, name: str, blob: str, answers: list[object]) -> threading.Thread:
    def run() -> None:
        wanted = {"photo_sha256": blob, "resolution": 64}
        try:
            url = f"{worker.url}/v1/preprocess/{name}"
            answers.append(requests.post(url, json=wanted, headers=BEARER, timeout=60))
        except requests.RequestException as error:
            answers.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def get(worker: Running, path: str) -> requests.Response:
    return requests.get(worker.url + path, headers=BEARER, timeout=LONG_S)


def waiting(worker: Running) -> dict[str, float]:
    return get(worker, "/v1/capabilities").json()["queue"]


@pytest.fixture
def in_a_terminal() -> Generator[None]:
    """Also where these tests run under nohup, which has SIGHUP ignored, by children too."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("in_a_terminal")
@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_idle_worker_ends_at_once_and_leaves_nothing(tmp_path: Path, sign: signal.Signals) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    with worker_process(tmp_path / "log", "--folder", str(folder)) as worker:
        upload(worker.url)
        children = worker.children()
        assert len(list(folder.glob("*/*"))) == 1 and children
        worker.process.send_signal(sign)
        assert worker.process.wait(LONG_S) == 0
        wait_until(lambda: not any(alive(child) for child in children))
        assert list(folder.iterdir()) == []


def test_drain_lets_a_running_job_end_and_refuses_new_work(tmp_path: Path) -> None:
    with odd_worker(tmp_path / "log") as worker:
        blob = upload(worker.url)
        running: list[object] = []
        queued: list[object] = []
        thread = ask(worker, "held", blob, running)
        wait_until(lambda: waiting(worker)["running"] == 1)
        other = ask(worker, "canny", blob, queued)
        wait_until(lambda: waiting(worker)["waiting"] == 1)
        with requests.Session() as kept:
            kept.get(f"{worker.url}/v1/health/ready", timeout=LONG_S)
            worker.process.send_signal(signal.SIGTERM)
            wait_until(
                lambda: kept.get(f"{worker.url}/v1/health/ready", timeout=LONG_S).status_code == 503
            )
            late: list[object] = []
            ask(worker, "canny", blob, late).join()
        let_go(worker.log)
        thread.join()
        other.join()
        assert worker.process.wait(LONG_S) == 0
        assert running[0].status_code == 200  # type: ignore[attr-defined]
        assert queued[0].json()["code"] == "draining"  # type: ignore[attr-defined]
        assert late[0].json()["code"] == "draining"  # type: ignore[attr-defined]


def test_drain_of_a_hung_job_ends_all_the_same(tmp_path: Path) -> None:
    """Within ten seconds, as the worker's benchmark measures; a busy machine gets more."""
    with odd_worker(tmp_path / "log") as worker:
        blob = upload(worker.url)
        answers: list[object] = []
        thread = ask(worker, "hang", blob, answers)
        wait_until(lambda: waiting(worker)["running"] == 1)
        children = worker.children()
        worker.process.send_signal(signal.SIGTERM)
        assert worker.process.wait(LONG_S) == 0
        thread.join()
        assert answers[0].json()["code"] == "draining"  # type: ignore[attr-defined]
        wait_until(lambda: not any(alive(child) for child in children))


@pytest.mark.parametrize("when", ["idle", "computing"])
def test_killed_parent_takes_its_children_along(tmp_path: Path, when: str) -> None:
    with odd_worker(tmp_path / "log") as worker:
        answers: list[object] = []
        if when == "computing":
            thread = ask(worker, "hang", upload(worker.url), answers)
            wait_until(lambda: waiting(worker)["running"] == 1)
        children = worker.children()
        worker.process.kill()
        worker.process.wait(LONG_S)
        wait_until(lambda: not any(alive(child) for child in children))
        if when == "computing":
            thread.join()
            assert isinstance(answers[0], requests.ConnectionError)


def test_closed_connection_frees_the_child(tmp_path: Path) -> None:
    with odd_worker(tmp_path / "log") as worker:
        body = json.dumps({"photo_sha256": upload(worker.url), "resolution": 64}).encode()
        head = (
            "POST /v1/preprocess/hang HTTP/1.1\r\nHost: localhost\r\n"
            f"Authorization: Bearer {TOKEN}\r\nContent-Length: {len(body)}\r\n"
            "Content-Type: application/json\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", worker.port)) as connection:
            connection.sendall(head.encode() + body)
            wait_until(lambda: waiting(worker)["running"] == 1)
        wait_until(lambda: waiting(worker)["running"] == 0)  # it would hang for twice as long
        assert "tandem_clients_left_total 1" in get(worker, "/v1/metrics").text


def test_cancel_reaches_the_worker_at_once(tmp_path: Path) -> None:
    """Within a second, as its benchmark measures; here, long before the deadline frees it."""
    with odd_worker(tmp_path / "log") as worker:
        client, cancelled = WorkerClient(worker.entry), threading.Event()
        photo = make_photo()
        client.upload(photo, cancelled=NEVER, deadline_s=LONG_S)

        def run() -> None:
            with pytest.raises(Cancelled):
                client._compute(
                    ConditionRequest("hang", 64),
                    client._known.blob_of(photo.sha256) or "",
                    65536,
                    cancelled,
                    4 * LONG_S,
                )

        thread = threading.Thread(target=run)
        thread.start()
        wait_until(lambda: waiting(worker)["running"] == 1)
        cancelled.set()
        thread.join(LONG_S)
        assert not thread.is_alive()
        wait_until(lambda: waiting(worker)["running"] == 0)
        client.close()


def test_token_is_in_no_output(tmp_path: Path) -> None:
    wrong = "w" * 20 + "rong-token-0123456789"
    with odd_worker(tmp_path / "log") as worker:
        texts = []
        blob = upload(worker.url)
        for token in (TOKEN, wrong):
            headers = {"Authorization": f"Bearer {token}", "X-Other": token}
            for method, path in (
                ("GET", "/v1/capabilities"),
                ("GET", "/v1/metrics"),
                ("GET", f"/v1/{token}"),
                ("PUT", "/v1/blobs/" + "0" * 64),
                ("POST", "/v1/preprocess/crash"),
                ("POST", "/v1/preprocess/wrong"),
                ("BREW", "/v1/preprocess/wrong"),
            ):
                answer = requests.request(
                    method, worker.url + path, json={"photo_sha256": blob, "resolution": 64},
                    headers=headers, timeout=LONG_S,
                )  # fmt: skip
                texts.append(answer.text + str(answer.headers))
        with socket.create_connection(("127.0.0.1", worker.port)) as raw:
            raw.sendall(f"GET / HTTP/1.1\r\nAuthorization Bearer {TOKEN}\r\n\r\n".encode())
            texts.append(raw.recv(4096).decode())
        client = WorkerClient(worker.entry)
        texts += [repr(client.entry), repr(client.capabilities())]
        client.close()
        worker.process.terminate()
        worker.process.wait(LONG_S)
        assert worker.process.stdout is not None
        texts += [worker.process.stdout.read(), worker.log.read_text(errors="replace")]
        for text in texts:
            assert TOKEN not in text and wrong not in text


def test_killed_workers_photos_are_swept(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    arguments = ("--no-spare", "--folder", str(folder))
    with worker_process(tmp_path / "log", *arguments) as killed:
        upload(killed.url)
        killed.process.kill()
        killed.process.wait(LONG_S)
    [left] = folder.iterdir()
    with worker_process(tmp_path / "log2", *arguments) as first:
        assert not left.exists()
        upload(first.url)
        with worker_process(tmp_path / "log3", *arguments):
            assert len(list(folder.iterdir())) == 2
        assert len(list(folder.glob("*/*"))) == 1  # of the one that lives
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("when", ["spawned", "running"])
def test_signal_while_starting_ends_the_worker(tmp_path: Path, when: str) -> None:
    program, started = tmp_path / "never_ready.py", tmp_path / "started"
    program.write_text(f"import time\nopen({str(started)!r}, 'w').close()\ntime.sleep(60)\n")
    with (tmp_path / "log").open("w") as log:
        command = [sys.executable, str(ODD_WORKER), repr({"child_program": program.as_posix()})]
        process = subprocess.Popen(
            command, stderr=log, env={**os.environ, "TANDEM_TEST_TOKEN": TOKEN}
        )
    try:
        wait_until(lambda: children_of(process.pid))
        if when == "running":
            wait_until(started.exists)
        [child] = children_of(process.pid)
        process.send_signal(signal.SIGTERM)
        assert process.wait(LONG_S) == 0
        wait_until(lambda: not alive(child))
    finally:
        process.kill()
        process.wait()


def test_dead_worker_is_told_from_a_slow_one(tmp_path: Path) -> None:
    with worker_process(tmp_path / "log") as worker:
        client = WorkerClient(worker.entry)
        client.capabilities()
        os.kill(worker.process.pid, signal.SIGSTOP)
        with pytest.raises(WorkerFailed) as stopped:
            client.capabilities(timeout_s=0.5)
        assert stopped.value.code == "deadline"
        os.kill(worker.process.pid, signal.SIGCONT)
        assert client.capabilities(LONG_S).slots == 1
        worker.process.kill()
        worker.process.wait(LONG_S)
        with pytest.raises(WorkerFailed) as dead:
            client.capabilities()
        assert dead.value.code in ("refused", "broken_link")
        client.close()
