"""What broke a worker once: requests in requests, and clients that keep places, log or child."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import requests
from comfyui_tandem.edge_worker.guard import ConnectionLimits
from comfyui_tandem.engine.conditions import ConditionRequest, detect
from comfyui_tandem.engine.offload.client import WorkerClient
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from .conftest import BEARER, LONG_S, TOKEN, Running, make_photo, spawn, wait_until, worker_process
from .odd_worker import odd_worker
from .test_gate import JSON, exchange
from .test_signals import upload
from .test_tls_and_disk import certificate

HEALTH = b"GET /v1/health/live HTTP/1.1\r\nHost: localhost\r\n"
INNER = f"GET /v1/capabilities HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
CHUNKED = "Transfer-Encoding: chunked"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Generator[Running]:
    with worker_process(tmp_path_factory.mktemp("attacked") / "log") as worker:
        yield worker


def statuses(answer: bytes) -> list[bytes]:
    return [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]]


@pytest.mark.parametrize("token", [BEARER, {}], ids=["token", "none"])
@pytest.mark.parametrize(
    "framing",
    [
        ("Content-Length: 4", CHUNKED),
        (CHUNKED, f"Content-Length: {5 + len(INNER)}"),
        (CHUNKED, CHUNKED),
        ("Transfer-Encoding: gzip, chunked",),
        ("Transfer-Encoding: identity",),
        ("Content-Length: +5",),
        ("Content-Length: 5", "Content-Length: 6"),
    ],
)
def test_no_request_in_a_request_is_served(
    running: Running, framing: tuple[str, ...], token: dict[str, str]
) -> None:
    lines = ["POST /v1/preprocess/canny HTTP/1.1", "Host: localhost", *framing]
    lines += ["Content-Type: application/json", *(f"{key}: {token[key]}" for key in token)]
    answer = exchange(running.port, "\r\n".join([*lines, "", "0\r\n\r\n" + INNER]).encode())
    assert statuses(answer) == [b"400"]


@pytest.mark.parametrize(
    "data",
    [
        b"POST /v1/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
        b"PUT /v1/blobs/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        HEALTH + b"Connection: close\r\n\r\njunk\r\n\r\n",
        INNER.encode().replace(b"GET", b"POST", 1)[:-2]
        + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}XX0\r\n\r\n",
    ],
)
def test_broken_body_is_one_line_in_the_log(running: Running, data: bytes) -> None:
    before = len(running.log.read_text())
    assert len(statuses(exchange(running.port, data))) == 1
    assert requests.get(f"{running.url}/v1/health/live", timeout=LONG_S).status_code == 200
    assert running.log.read_text()[before:].count("\n") <= 1


@pytest.mark.parametrize("size", ["Content-Length: 1000", CHUNKED])
def test_upload_that_ends_early_leaves_nothing(running: Running, size: str) -> None:
    body = b"\x89PNG\r\n\x1a\n" + bytes(40)
    blob, before = hashlib.sha256(body).hexdigest(), len(running.log.read_text())
    start = b"30\r\n" if size == CHUNKED else b""
    exchange(running.port, with_body("PUT", f"/v1/blobs/{blob}", start + body, size))
    wait_until(lambda: "tandem_photo_bytes_incoming 0\n" in metrics(running))
    head = requests.head(f"{running.url}/v1/blobs/{blob}", headers=BEARER, timeout=LONG_S)
    assert head.status_code == 404
    assert running.log.read_text()[before:].count("\n") <= 1


def with_body(method: str, path: str, body: bytes, *headers: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {TOKEN}"]
    return "\r\n".join([*lines, *headers, "", ""]).encode() + body


WANTED = b'{"photo_sha256": "%s", "parts": [{"detector": "canny"}]}' % (b"0" * 64)
CHUNKS = b"10\r\n\x89PNG\r\n\x1a\n12345678\r\n2;a=b\r\nxy\r\n0\r\nX: y\r\n\r\n"
WHOLE = [
    with_body("GET", "/v1/capabilities?a=b", b"", "Accept: */*", "Connection: close"),
    with_body("PUT", "/v1/blobs/" + "0" * 64, CHUNKS, CHUNKED),
    with_body("POST", "/v1/jobs", WANTED, f"Content-Length: {len(WANTED)}", JSON),
    with_body("GET", "/v1/health/live", b"") + with_body("HEAD", "/v1/blobs/" + "0" * 64, b""),
]
changes = st.lists(
    st.tuples(st.integers(0, 10**4), st.integers(0, 3), st.binary(max_size=3)), max_size=6
)


@settings(max_examples=400, deadline=None, database=None)
@seed(4)
@given(st.sampled_from(WHOLE), changes)
def test_damaged_requests_never_stop_the_worker(
    running: Running, whole: bytes, changes: list[tuple[int, int, bytes]]
) -> None:
    data = bytearray(whole)
    for place, count, piece in changes:
        place %= len(data)
        data[place : place + count] = piece
    for status in statuses(exchange(running.port, bytes(data))):
        assert status[:1] in (b"1", b"2", b"4")
    assert requests.get(f"{running.url}/v1/health/live", timeout=LONG_S).status_code == 200
    assert "Traceback" not in running.log.read_text()


def crowd(connect: Callable[[], socket.socket], count: int, data: bytes, stack: ExitStack) -> None:
    for _ in range(count):
        stack.enter_context(connect()).sendall(data)


@pytest.mark.slow
@pytest.mark.parametrize(
    "data",
    [
        HEALTH + b"Transfer-Encoding: chunked\r\n\r\n",  # whose body never begins
        HEALTH + b"Content-Length: 5\r\n\r\n",
        b"PUT /v1/blobs/0 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000000\r\n\r\n",
    ],
)
def test_strangers_cannot_keep_all_places(running: Running, data: bytes) -> None:
    def connect() -> socket.socket:
        return socket.create_connection(("127.0.0.1", running.port), LONG_S)

    with ExitStack() as stack:
        crowd(connect, ConnectionLimits().an_address + 3, data, stack)
        time.sleep(0.3)  # until all heads are read: who has none yet would have to go
        assert requests.get(f"{running.url}/v1/health/live", timeout=LONG_S).status_code == 200


@pytest.mark.slow
def test_tls_connections_that_do_not_hang_up_make_room(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    trusting = ssl.create_default_context(cafile=str(cert))
    arguments = ("--certfile", str(cert), "--keyfile", str(key), "--no-spare")
    with worker_process(tmp_path / "log", *arguments) as worker, ExitStack() as stack:

        def connect() -> socket.socket:
            plain = socket.create_connection(("127.0.0.1", worker.port), LONG_S)
            return trusting.wrap_socket(plain, server_hostname="localhost")

        data = HEALTH + b"Connection: close\r\n\r\n"
        crowd(connect, ConnectionLimits().an_address + 3, data, stack)
        url = f"https://localhost:{worker.port}/v1/health/live"
        assert requests.get(url, timeout=LONG_S, verify=str(cert)).status_code == 200


def asked(worker: Running, name: str, resolution: int = 64) -> bytes:
    body = json.dumps({"photo_sha256": upload(worker.url), "resolution": resolution}).encode()
    lines = [f"POST /v1/preprocess/{name} HTTP/1.1", "Host: localhost"]
    lines += [f"Authorization: Bearer {TOKEN}", "Content-Type: application/json"]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


def metrics(worker: Running) -> str:
    return requests.get(f"{worker.url}/v1/metrics", headers=BEARER, timeout=LONG_S).text


@pytest.mark.slow
def test_client_that_asks_on_and_leaves_frees_the_child(tmp_path: Path) -> None:
    """A second request before the first one's answer stopped the reading, and hid the leaving."""
    with odd_worker(tmp_path / "log") as worker:
        with socket.create_connection(("127.0.0.1", worker.port), LONG_S) as connection:
            connection.sendall(asked(worker, "hang"))
            wait_until(lambda: "tandem_tasks_running 1" in metrics(worker))
            connection.sendall(HEALTH + b"\r\n")
        wait_until(lambda: "tandem_tasks_running 0" in metrics(worker))
        assert "Traceback" not in worker.log.read_text(errors="replace")


@pytest.mark.slow
def test_junk_in_the_middle_of_an_answer_ends_it(tmp_path: Path) -> None:
    with odd_worker(tmp_path / "log") as worker, socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", worker.port))
        deaf.sendall(asked(worker, "heavy", 2048))
        assert deaf.recv(12) == b"HTTP/1.1 200"
        deaf.sendall(b"junk\r\n\r\n")
        wait_until(lambda: "tandem_answer_bytes 0\n" in metrics(worker))
        time.sleep(0.1)  # for a log that should stay empty
        assert "Traceback" not in worker.log.read_text(errors="replace")


@pytest.mark.slow
def test_photos_that_were_tidied_away_are_sent_again(tmp_path: Path) -> None:
    """Temporary folders are cleaned by others, a file or a whole folder at a time."""
    request, photo = ConditionRequest("canny", 64), make_photo()
    expected = detect(request, photo)
    with worker_process(tmp_path / "log", "--no-spare", "--folder", str(tmp_path)) as worker:
        client, never = WorkerClient(worker.entry), threading.Event()

        def ask() -> np.ndarray:
            return client.preprocess(request, photo, cancelled=never, deadline_s=20).picture

        np.testing.assert_array_equal(ask(), expected)
        [folder] = tmp_path.glob("tandem-worker-*")
        [file] = folder.iterdir()
        file.unlink()
        assert (
            requests.head(f"{worker.url}/v1/blobs/{file.name}", headers=BEARER).status_code == 404
        )
        np.testing.assert_array_equal(ask(), expected)
        shutil.rmtree(folder)
        np.testing.assert_array_equal(ask(), expected)
        assert "tandem_photo_bytes 0\n" not in metrics(worker)
        client.close()
    assert list(tmp_path.glob("tandem-worker-*")) == []


FEW_FILES = """
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))
sys.argv = ["worker", "--port", "0", "--token-env", "T"]
runpy.run_module("comfyui_tandem.edge_worker", run_name="__main__")
"""


@pytest.mark.slow
def test_more_connections_than_files_are_crowded_out(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FEW_FILES]
    with spawn(command, tmp_path / "log", {"T": TOKEN}) as worker, ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(socket.create_connection(("127.0.0.1", worker.port), LONG_S))
        client = WorkerClient(worker.entry)
        request = ConditionRequest("canny", 64)
        client.preprocess(request, make_photo(), cancelled=threading.Event(), deadline_s=20)
        client.close()
        assert worker.log.read_text().count("\n") < 20
