"""Connections that are silent, slow or many, while a normal request still answers."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests
from comfyui_tandem.edge_worker.guard import ConnectionLimits
from comfyui_tandem.edge_worker.settings import Settings
from comfyui_tandem.engine.wire.codecs import encode_photo

from .conftest import BEARER, LONG_S, TOKEN, Running, make_photo, wait_until, worker_process
from .odd_worker import odd_worker

LIMITS = ConnectionLimits()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Generator[Running]:
    with worker_process(tmp_path_factory.mktemp("slow") / "log") as worker:
        yield worker


def connect(worker: Running, data: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", worker.port), LONG_S)
    connection.sendall(data)
    return connection


def seconds_until_closed(worker: Running, start: bytes, drip: bytes) -> float:
    """From connecting until the worker ends the connection, with one more drip a second."""
    began = time.monotonic()
    with connect(worker, start) as connection:
        connection.settimeout(1.0)
        while time.monotonic() - began < LONG_S:
            try:
                if connection.recv(4096) == b"":
                    break
            except TimeoutError:
                pass
            except ConnectionResetError:
                break
            try:
                connection.sendall(drip)
            except OSError:
                break
    return time.monotonic() - began


UPLOAD = (
    f"PUT /v1/blobs/{'0' * 64} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
    "Content-Length: 5000000\r\n\r\n"
).encode()
REFUSED = b"PUT /v1/blobs/0 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000000\r\n\r\n"


@pytest.mark.slow
def test_slow_connections_are_closed_in_time(running: Running) -> None:
    cases = [
        (b"", b"", LIMITS.head_s),
        (b"GET / HTTP/1.1\r\n", b"X: y\r\n", LIMITS.head_s),
        (UPLOAD, b"x", LIMITS.body_grace_s),
        (UPLOAD + bytes(30_000), b"", LIMITS.body_grace_s),
        (REFUSED, b"x" * 1000, LIMITS.body_grace_s),  # refused, and goes on sending
    ]

    def measure(case: tuple[bytes, bytes, float]) -> float:
        start, drip, _ = case
        return seconds_until_closed(running, start, drip)

    with ThreadPoolExecutor(len(cases)) as pool:
        for case, seconds in zip(cases, pool.map(measure, cases), strict=True):
            assert case[2] - 0.1 <= seconds <= case[2] + 20, (case[0][:20], seconds)


@pytest.mark.slow
def test_slow_but_steady_upload_and_idle_keep_alive_pass(running: Running) -> None:
    data = encode_photo(make_photo(150, 300).pixels, "raw")  # 135 kB in 4.5 s: 30 kB/s
    blob = hashlib.sha256(data).hexdigest()

    def body() -> Generator[bytes]:
        for start in range(0, len(data), 3000):
            yield data[start : start + 3000]
            time.sleep(0.1)

    with requests.Session() as session:
        url = f"{running.url}/v1/blobs/{blob}"
        assert session.put(url, data=body(), headers=BEARER, timeout=LONG_S).status_code == 201
        [connection] = list(session.get_adapter(url).poolmanager.pools._container.values())
        time.sleep(LIMITS.head_s + 1)
        assert session.head(url, headers=BEARER, timeout=LONG_S).status_code == 200
        assert connection.num_connections == 1  # still the first one


@pytest.mark.slow
def test_500_slow_connections_do_not_stop_a_normal_request(tmp_path: Path) -> None:
    """None of them is closed for its slowness meanwhile, however long this takes."""
    starts = [b"", b"GET / HTTP/1.1\r\nX: ", UPLOAD]
    patient = {"head_s": 9 * LONG_S, "body_grace_s": 9 * LONG_S}
    with odd_worker(tmp_path / "log", limits=patient, spare=False) as worker, ExitStack() as stack:

        def ask(path: str) -> str:
            answer = requests.get(worker.url + path, headers=BEARER, timeout=LONG_S)
            assert answer.status_code == 200
            return answer.text

        slow = stack.enter_context(ExitStack())
        for number in range(500):
            slow.enter_context(connect(worker, starts[number % 3]))
        for _ in range(5):
            ask("/v1/capabilities")
        for _ in range(300):  # over the limit of an address: silent ones have to go
            slow.enter_context(connect(worker))
        assert 'reason="crowded_out"' in ask("/v1/metrics")
        assert "tandem_photo_bytes_incoming 0\n" not in ask("/v1/metrics")
        slow.close()  # those who have left hold no room
        wait_until(lambda: "tandem_photo_bytes_incoming 0\n" in ask("/v1/metrics"))


@pytest.mark.slow
def test_200_clients_all_get_an_answer(running: Running) -> None:
    data = encode_photo(make_photo().pixels, "webp")
    blob = hashlib.sha256(data).hexdigest()
    requests.put(f"{running.url}/v1/blobs/{blob}", data=data, headers=BEARER, timeout=LONG_S)
    together = threading.Barrier(200)

    def ask(_: int) -> int:
        together.wait()
        wanted = {"photo_sha256": blob, "resolution": 128}
        url = f"{running.url}/v1/preprocess/canny"
        return requests.post(url, json=wanted, headers=BEARER, timeout=2 * LONG_S).status_code

    with ThreadPoolExecutor(200) as pool:
        statuses = list(pool.map(ask, range(200)))
    # So many may wait; the first of them need not have begun when the last of 200 is turned away.
    assert set(statuses) <= {200, 429} and statuses.count(200) >= Settings().queue_length
    ready = requests.get(f"{running.url}/v1/health/ready", timeout=LONG_S)
    assert ready.status_code == 200


@pytest.mark.slow
def test_answer_that_is_never_read_is_given_up_on_a_real_socket(tmp_path: Path) -> None:
    """The system's buffers swallow megabytes at once: they must not count as reading for ever."""
    with odd_worker(tmp_path / "log", limits={"unread_s": 3.0}) as worker:
        data = encode_photo(make_photo(64, 64).pixels, "webp")
        blob = hashlib.sha256(data).hexdigest()
        requests.put(f"{worker.url}/v1/blobs/{blob}", data=data, headers=BEARER, timeout=LONG_S)
        body = json.dumps({"photo_sha256": blob, "resolution": 2048}).encode()
        head = (
            f"POST /v1/preprocess/heavy HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}"
            f"\r\nContent-Type: application/json\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
        )

        def metrics() -> str:
            return requests.get(f"{worker.url}/v1/metrics", headers=BEARER, timeout=LONG_S).text

        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.connect(("127.0.0.1", worker.port))
            deaf.sendall(head.encode() + body)
            wait_until(lambda: 'reason="unread_answer"} 1' in metrics(), 2 * LONG_S)
            wait_until(lambda: "tandem_answer_bytes 0\n" in metrics())
        answer = requests.post(
            f"{worker.url}/v1/preprocess/heavy",
            data=body,
            headers={**BEARER, "Content-Type": "application/json"},
            timeout=60,
        )
        assert len(answer.content) > 8e6  # what was never read: more than the buffers hold


def test_unread_answer_is_given_up() -> None:
    """By the guard's own rule: bytes that nobody takes for 20 s end the connection."""
    from comfyui_tandem.edge_worker.guard import Guard
    from comfyui_tandem.edge_worker.meters import Meters

    now = [0.0]
    guard = Guard(LIMITS, Meters(), clock=lambda: now[0])
    with_unsent = Unsent(guard)
    for seconds, unsent, reason in [
        (0, 0, None), (1, 9, None), (20, 5, None), (21, 5, "unread_answer"), (22, 0, None),
    ]:  # fmt: skip
        now[0], with_unsent.unsent = seconds, unsent
        assert with_unsent.connection.objection(now[0]) == reason, seconds


class Unsent:
    """A connection in the middle of its answer, and its transport."""

    def __init__(self, guard) -> None:  # type: ignore[no-untyped-def]
        import h11
        from comfyui_tandem.edge_worker.guard import Guarded

        self.unsent = 0
        self.connection = Guarded.__new__(Guarded)
        self.connection._guard, self.connection.since = guard, 0.0
        self.connection._behind_since, self.connection._behind_from = 0.0, 0
        self.written = 9
        self.connection.conn = h11.Connection(h11.SERVER)
        self.connection.conn.receive_data(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        self.connection.conn.next_event()
        self.connection.conn.next_event()
        self.connection.transport = self  # type: ignore[assignment]

    def get_write_buffer_size(self) -> int:
        return self.unsent
