"""Host, Origin, token, body: over a real socket, byte by byte where it matters."""

from __future__ import annotations

import json
import socket
import struct
import time
import zlib
from pathlib import Path

import pytest
import requests
from comfyui_tandem.edge_worker.gate import FAILURES, FAILURES_S, Failures, check_json
from comfyui_tandem.edge_worker.problem import Problem

from .conftest import BEARER, LONG_S, TOKEN, Running, worker_process


def exchange(port: int, data: bytes, address: str = "127.0.0.1") -> bytes:
    """Everything a worker answers to these bytes."""
    with socket.create_connection((address, port), LONG_S) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    return answer


def request(
    port: int, *headers: str, method: str = "GET", path: str = "/v1/capabilities", body: bytes = b""
) -> tuple[int, str]:
    lines = [
        f"{method} {path} HTTP/1.1",
        *headers,
        f"Authorization: Bearer {TOKEN}",
        "Connection: close",
    ]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    answer = exchange(port, "\r\n".join([*lines, "", ""]).encode() + body)
    head, _, rest = answer.partition(b"\r\n\r\n")
    assert b"\r\nserver:" not in head.lower()
    form = json.loads(rest) if rest.startswith(b"{") else {}
    return int(head.split()[1]), form.get("code", "")


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1", "127.0.0.1:1", "[::1]:8801", "LOCALHOST"]
)
def test_own_names(running: Running, host: str) -> None:
    assert request(running.port, f"Host: {host}")[0] == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8801", "localhost.evil.example", "192.0.2.1", "", "a b", "[::2]",
     "localhost:99999999", "localhost@evil", "localhost/", "\u00e4"],
)  # fmt: skip
def test_foreign_names(running: Running, host: str) -> None:
    status, code = request(running.port, f"Host: {host}")
    assert (status, code) in ((403, "bad_host"), (400, ""))  # 400: h11 refuses it first


def test_missing_and_doubled_host(running: Running) -> None:
    assert request(running.port)[0] == 400
    assert request(running.port, "Host: localhost", "Host: evil.example")[0] == 400
    old = f"GET /v1/capabilities HTTP/1.0\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    assert b" 403 " in exchange(running.port, old.encode()).split(b"\r\n")[0]


@pytest.mark.parametrize("origin", ["null", "http://localhost:8801", "https://evil.example", ""])
@pytest.mark.parametrize("path", ["/v1/capabilities", "/v1/health/live", "/openapi.json"])
def test_any_origin_is_refused(running: Running, origin: str, path: str) -> None:
    status = request(running.port, "Host: localhost", f"Origin: {origin}", path=path)
    assert status == (403, "origin_refused")


def test_preflight_gets_nothing(running: Running) -> None:
    lines = (
        "Host: localhost",
        "Origin: https://evil.example",
        "Access-Control-Request-Method: PUT",
    )
    assert request(running.port, *lines, method="OPTIONS")[0] == 403


def test_forged_address_changes_nothing(running: Running) -> None:
    lines = ("Host: localhost", "X-Forwarded-For: 192.0.2.7", "X-Forwarded-Host: evil.example")
    assert request(running.port, *lines)[0] == 200


CHUNK = b"2\r\n{}\r\n0\r\n\r\n"
JSON = "Content-Type: application/json"
POST = {"method": "POST", "path": "/v1/preprocess/canny"}


@pytest.mark.parametrize(
    ("headers", "body", "status", "code"),
    [
        ((JSON,), b"[" * 60_000, 400, "bad_request"),
        ((JSON,), b'{"a":' * 10_000, 400, "bad_request"),
        ((JSON,), b'{"photo_sha256": NaN}', 400, "bad_request"),
        ((JSON,), b'{"photo_sha256": 1e999}', 422, "bad_param"),
        ((JSON,), b'{"resolution": ' + b"9" * 5000 + b"}", 400, "bad_request"),
        ((JSON,), b"\xff\xfe", 400, "bad_request"),
        ((JSON,), b'"\\ud800"', 422, "bad_param"),
        ((JSON,), b" " * 70_000, 413, "too_large"),
        ((), b"{}", 415, "unsupported_type"),
        (("Content-Type: text/plain",), b"{}", 415, "unsupported_type"),
        (("Content-Type: multipart/form-data; boundary=x",), b"--x--", 415, "unsupported_type"),
        ((JSON, "Content-Encoding: gzip"), zlib.compress(b"{}"), 415, "unsupported_type"),
    ],
)  # fmt: skip
def test_bodies_that_are_refused(
    running: Running, headers: tuple[str, ...], body: bytes, status: int, code: str
) -> None:
    assert request(running.port, "Host: localhost", *headers, body=body, **POST) == (status, code)


def test_chunked_body_is_counted_too(running: Running) -> None:
    head = (
        f"POST /v1/preprocess/canny HTTP/1.1\r\nHost: localhost\r\n{JSON}\r\n"
        f"Transfer-Encoding: chunked\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    )
    answer = exchange(
        running.port, head.encode() + (b"4000\r\n" + b" " * 0x4000 + b"\r\n") * 5 + b"0\r\n\r\n"
    )
    assert b" 413 " in answer.split(b"\r\n")[0]


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 40_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ],
)
def test_broken_http_is_400(running: Running, head: bytes) -> None:
    assert exchange(running.port, head).startswith(b"HTTP/1.1 400 ")


def test_no_websocket(running: Running) -> None:
    lines = (
        "Host: localhost",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    )
    assert request(running.port, *lines, path="/ws")[0] == 404


def test_ten_wrong_tokens_a_minute() -> None:
    now = [0.0]
    failures = Failures(clock=lambda: now[0])
    for number in range(FAILURES):
        assert failures.wait_s("192.0.2.1") == 0, number
        failures.add("192.0.2.1")
    assert failures.wait_s("192.0.2.1") == FAILURES_S and failures.wait_s("192.0.2.2") == 0
    now[0] = FAILURES_S
    assert failures.wait_s("192.0.2.1") == 0


def test_right_token_passes_where_others_failed(tmp_path: Path) -> None:
    with worker_process(tmp_path / "log", "--no-spare") as worker:
        url = f"{worker.url}/v1/capabilities"
        wrong = {"Authorization": "Bearer wrong"}
        codes = [requests.get(url, headers=wrong, timeout=LONG_S).json()["code"] for _ in range(12)]
        assert codes == ["bad_token"] * 10 + ["too_many_failures"] * 2
        forged = {name: "192.0.2.7" for name in ("X-Forwarded-For", "X-Real-IP", "Forwarded")}
        answer = requests.get(url, headers={**wrong, **forged}, timeout=LONG_S)
        assert answer.json()["code"] == "too_many_failures"  # by the socket's address
        assert requests.get(url, headers=BEARER, timeout=LONG_S).status_code == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site", "anything"])
def test_other_sites_are_refused(running: Running, site: str) -> None:
    status = request(running.port, "Host: localhost", f"Sec-Fetch-Site: {site}")
    assert status == (403, "origin_refused")
    assert request(running.port, "Host: localhost", "Sec-Fetch-Site: none")[0] == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "POST"])
def test_no_body_where_none_is_expected(running: Running, method: str) -> None:
    path = "/v1/health/live" if method == "POST" else "/v1/jobs/" + "0" * 32
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {TOKEN}", JSON]
    for extra, body in (("Content-Length: 2", b"{}"), ("Transfer-Encoding: chunked", CHUNK)):
        head = "\r\n".join([*lines, extra, "", ""]).encode()
        assert exchange(running.port, head + body).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("hard", [b'"' + rb"\"" * 32_000, b'"' * 65_000, b"[" * 65_000])
def test_hard_json_is_refused_quickly(hard: bytes) -> None:
    """The first took 44 s, growing with the square of its length."""
    began = time.process_time()
    with pytest.raises(Problem):
        check_json(hard)
    assert time.process_time() - began < 5  # of this process, not of the clock


def test_json_depth_counts_brackets_outside_strings() -> None:
    check_json(b'{"a": "[[[[[[[[[[[[[[[[[[[[[[[[\\"[[[["}')
    check_json(b"[" * 16 + b"]" * 16)
    for deep in (b"[" * 17 + b"]" * 17, b'{"a":' * 17 + b"1" + b"}" * 17):
        with pytest.raises(Problem, match="deeper"):
            check_json(deep)


def png_bomb(side: int) -> bytes:
    """A small PNG of side x side black pixels, 1 bit each."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack("!I", len(data)) + kind + data + struct.pack("!I", zlib.crc32(kind + data))
        )

    header = struct.pack("!IIBBBBB", side, side, 1, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" * ((side // 8 + 1) * side), 9)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )
