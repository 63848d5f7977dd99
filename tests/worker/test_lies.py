"""The client against a server that lies about everything: one error, in time, nothing believed."""

from __future__ import annotations

import gzip
import hashlib
import json
import socket
import struct
import threading
import time

import numpy as np
import pytest
from comfyui_tandem.engine.conditions import ConditionRequest, Photo, detect
from comfyui_tandem.engine.offload import call
from comfyui_tandem.engine.offload.client import Cancelled, WorkerClient, WorkerFailed
from comfyui_tandem.engine.offload.workers import WorkerEntry
from comfyui_tandem.engine.wire.codecs import encode_hint
from urllib3.connection import HTTPConnection

from .conftest import LONG_S, TOKEN, make_photo, wait_until
from .liar import Answer, lying, problem, raw, reply
from .test_gate import png_bomb

NEVER = threading.Event()
SILENT_S = 20.0
CAPABILITIES = {
    "api": "v1", "version": "0.1.0", "min_client": "0.1.0", "instance": "i", "slots": 1,
    "detectors": {"canny": {"state": "loaded", "seconds": None, "seconds_per_mpixel": 0.1}},
    "queue": {"waiting": 0, "running": 0, "processes": 1, "expected_wait_s": 0.0},
    "limits": {"photo_bytes": 1, "photo_pixels": 1, "hint_pixels": 1},
    "codecs": {"photo": ["image/png"], "decode_s_per_mpixel": {"webp": 0.1}},
    "something_new": {"in": "a later version"},
}  # fmt: skip


def client_of(url: str) -> WorkerClient:
    return WorkerClient(WorkerEntry("shed", url, TOKEN))


def told(**changes: object) -> Answer:
    return reply(json.dumps({**CAPABILITIES, **changes}).encode())


def dripping(connection: socket.socket, _: str) -> None:
    for byte in b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" * 20:
        connection.sendall(bytes([byte]))
        time.sleep(0.05)


def endless(connection: socket.socket, _: str) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.sendall(b"[" * 65536)


def many_headers(connection: socket.socket, _: str) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"X: y\r\n")


def reset(connection: socket.socket, _: str) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raise ConnectionAbortedError


def silent(connection: socket.socket, _: str) -> None:
    connection.settimeout(SILENT_S)
    connection.recv(1)


def nothing(connection: socket.socket, _: str) -> None:
    raise ConnectionAbortedError


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
NESTED = b'{"api": ' + b"[" * 20_000 + b"]" * 20_000 + b"}"
LIES: dict[str, tuple[Answer, str]] = {
    "html": (reply(b"<html>", kind="text/html"), "lied"),
    "no json": (reply(b"{"), "lied"),
    "another json": (reply(b"[]"), "lied"),
    "nested": (reply(NESTED), "lied"),
    "huge number": (reply(b'{"api": ' + b"9" * 9999 + b"}"), "lied"),
    "not finite": (told(queue={**CAPABILITIES["queue"], "expected_wait_s": float("nan")}), "lied"),
    "negative": (told(slots=-1), "lied"),
    "text for a number": (told(slots="1"), "lied"),
    "bool for a number": (told(slots=True), "lied"),
    "missing": (told(limits={}), "lied"),
    "another api": (told(api="v2"), "lied"),
    "no version": (told(version="latest"), "lied"),
    "older": (told(version="0.0.9"), "old"),
    "newer": (told(min_client="9.0.0"), "old"),
    "redirect": (reply(status=302, Location="http://127.0.0.1:1/"), "lied"),
    "status only": (reply(status=500), "lied"),
    "problem of another kind": (reply(b'{"code": 5}', 500, "application/problem+json"), "lied"),
    "compressed": (reply(gzip.compress(b"{}"), Content_Encoding="gzip"), "lied"),
    "endless": (endless, "lied"),
    "endless head": (many_headers, "broken_link"),
    "truncated": (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}"), "broken_link"),
    "no http": (raw(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), "broken_link"),
    "bad chunks": (raw(CHUNKED + b"zz\r\n"), "broken_link"),
    "reset": (reset, "broken_link"),
    "closed": (nothing, "broken_link"),
    "silent": (silent, "deadline"),
    "dripping": (dripping, "deadline"),
}  # fmt: skip


@pytest.mark.parametrize("lie", list(LIES))
def test_lying_capabilities(lie: str) -> None:
    answer, code = LIES[lie]

    def and_close(connection: socket.socket, what: str) -> None:
        answer(connection, what)
        raise ConnectionAbortedError

    with lying({"GET ": and_close}) as liar:
        client = client_of(liar.url)
        patience_s = 0.7 if code == "deadline" else 10.0  # else a busy machine looks like one
        with pytest.raises(WorkerFailed) as caught:
            client.capabilities(timeout_s=patience_s)
        assert caught.value.code == code, caught.value
        assert TOKEN not in str(caught.value) and str(caught.value).isprintable()
        client.close()


def test_newer_fields_are_ignored_and_texts_are_tamed() -> None:
    odd = {"state": "loaded\x1b[31m\n", "seconds": None, "seconds_per_mpixel": 0.1}
    with lying({"GET ": told(instance="i" * 9999, detectors={"a\nb": odd})}) as liar:
        client = client_of(liar.url)
        found = client.capabilities()
        assert len(found.instance) == 200
        [(name, state)] = found.detectors.items()
        assert name.isprintable() and state.state.isprintable()
        client.close()


PHOTO = make_photo(64, 64)
REQUEST = ConditionRequest("canny", 64)
HINT = detect(REQUEST, PHOTO)
HELD = {"HEAD ": reply(), "DELETE ": reply(b"{}")}


def picture(shape: tuple[int, ...]) -> Answer:
    return reply(encode_hint(np.zeros(shape, np.uint8)), kind="image/png")


HINT_LIES: dict[str, tuple[Answer, str]] = {
    "another size": (picture((64, 72)), "lied"),
    "colour": (picture((64, 64, 3)), "lied"),
    "bomb": (reply(png_bomb(12_000), kind="image/png"), "lied"),
    "jpeg": (reply(b"\xff\xd8\xff" + bytes(99), kind="image/png"), "lied"),
    "text": (reply(b"hello", kind="text/plain"), "lied"),
    "half a picture": (
        reply(encode_hint(HINT)[: len(encode_hint(HINT)) // 2], kind="image/png"),
        "lied",
    ),
    "redirect": (reply(status=307, Location="http://127.0.0.1:1/"), "lied"),
    "endless": (endless, "lied"),
    "stalled": (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n\x89PNG"), "deadline"),
    "detector_failed": (problem("detector_failed", 500), "detector_failed"),
    "draining": (problem("draining", 503), "draining"),
    "no_device": (problem("no_device", 503), "no_device"),
    "deadline": (problem("deadline", 504), "deadline"),
    "crashed_before": (problem("crashed_before", 422), "crashed_before"),
}


@pytest.mark.parametrize("lie", list(HINT_LIES))
def test_lying_hints(lie: str) -> None:
    answer, code = HINT_LIES[lie]
    with lying({**HELD, "POST ": answer}) as liar:
        client = client_of(liar.url)
        patience_s = 1.0 if lie == "stalled" else 10.0
        with pytest.raises(WorkerFailed) as caught:
            client.preprocess(REQUEST, PHOTO, cancelled=NEVER, deadline_s=patience_s)
        assert caught.value.code == code, caught.value
        assert sum(asked.startswith("POST") for asked in liar.asked) == 1  # not tried again
        client.close()


def test_redirect_is_not_followed() -> None:
    with lying({"GET ": told()}) as stranger:
        moved = reply(status=302, Location=f"{stranger.url}/v1/capabilities")
        with lying({"GET ": moved}) as liar:
            client = client_of(liar.url)
            with pytest.raises(WorkerFailed):
                client.capabilities()
            client.close()
        assert stranger.asked == []


def test_proxies_netrc_and_cookies_are_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret-of-netrc\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    told_cookie = reply(json.dumps(CAPABILITIES).encode(), Set_Cookie="spy=1; Path=/")
    with lying({"GET ": told_cookie}) as liar:
        client = client_of(liar.url)
        client.capabilities()
        client.capabilities()
        client.close()
        assert all(f"Authorization: Bearer {TOKEN}\r\n" in head for head in liar.heads)
        assert not any("Cookie" in head or "Basic" in head for head in liar.heads)


def counted(answers: list[Answer]) -> Answer:
    """One after the other, the last one for ever."""
    left = list(answers)

    def answer(connection: socket.socket, what: str) -> None:
        (left.pop(0) if len(left) > 1 else left[0])(connection, what)

    return answer


def good(connection: socket.socket, what: str) -> None:
    time.sleep(0.06)
    timing = "queue;dur=3.5, load;dur=0, decode;dur=1, compute;dur=41.25, encode;dur=1, x;dur=1e9"
    reply(encode_hint(HINT), kind="image/png", Server_Timing=timing)(connection, what)


@pytest.mark.parametrize(
    ("first", "posts"),
    [
        (problem("queue_full", 429), 2),
        (problem("worker_crashed", 500), 2),
        (problem("unknown_blob", 404), 2),
        (nothing, 2),
        (reset, 2),
    ],
)
def test_what_can_be_tried_again_is(first: Answer, posts: int) -> None:
    with lying({**HELD, "PUT ": reply(b"{}", 201), "POST ": counted([first, good])}) as liar:
        client = client_of(liar.url)
        answer = client.preprocess(REQUEST, PHOTO, cancelled=NEVER, deadline_s=LONG_S)
        np.testing.assert_array_equal(answer.picture, HINT)
        assert (answer.compute_s, answer.queue_s) == (0.04125, 0.0035)
        assert sum(asked.startswith("POST") for asked in liar.asked) == posts
        client.close()


def test_at_most_two_retries_and_none_after_the_deadline() -> None:
    with lying({**HELD, "POST ": problem("queue_full", 429)}) as liar:
        client = client_of(liar.url)
        with pytest.raises(WorkerFailed):
            client.preprocess(REQUEST, PHOTO, cancelled=NEVER, deadline_s=LONG_S)
        assert sum(asked.startswith("POST") for asked in liar.asked) == 3
        client.close()
    with lying({**HELD, "POST ": problem("queue_full", 429, Retry_After="99999")}) as liar:
        client = client_of(liar.url)
        with pytest.raises(WorkerFailed, match="queue_full"):  # at once: that pause ends too late
            client.preprocess(REQUEST, PHOTO, cancelled=NEVER, deadline_s=LONG_S)
        assert sum(asked.startswith("POST") for asked in liar.asked) == 1
        client.close()


def test_three_failures_in_a_row_pause_the_worker() -> None:
    with lying({"GET ": nothing}) as liar:
        client = client_of(liar.url)
        codes = []
        for _ in range(4):
            with pytest.raises(WorkerFailed) as caught:
                client.capabilities()
            codes.append(caught.value.code)
        assert codes == ["broken_link"] * 3 + ["paused"]
        assert len(liar.asked) == 3
        client.close()
        with pytest.raises(WorkerFailed, match="paused"):  # for all clients of this process
            client_of(liar.url).capabilities()


@pytest.mark.parametrize(
    "hint",
    [
        reply(b"hello", kind="text/plain"),
        picture((64, 72)),
        reply(status=302, Location="http://127.0.0.1:1/"),
        reply(status=404),
        reply(status=418, kind="text/html"),
        problem("detector_failed", 500),
    ],
    ids=["text", "size", "redirect", "not found", "teapot", "failed"],
)
def test_worker_that_never_computes_is_paused(hint: Answer) -> None:
    """However well it answers everything else."""
    with lying({**HELD, "GET ": told(), "PUT ": reply(b"{}", 201), "POST ": hint}) as liar:
        client, codes = client_of(liar.url), []
        for _ in range(5):
            with pytest.raises(WorkerFailed) as caught:
                client.capabilities()
                client.preprocess(REQUEST, PHOTO, cancelled=NEVER, deadline_s=LONG_S)
            codes.append(caught.value.code)
        assert "paused" not in codes[:2] and codes[3:] == ["paused"] * 2, codes
        client.close()


def test_claimed_seconds_are_at_most_those_that_passed() -> None:
    timing = {"Server_Timing": "queue;dur=1, compute;dur=900000000"}
    hint = reply(encode_hint(HINT), kind="image/png", **timing)
    with lying({**HELD, "POST ": hint}) as liar:
        client = client_of(liar.url)
        began = time.monotonic()
        answer = client.preprocess(REQUEST, PHOTO, cancelled=NEVER, deadline_s=LONG_S)
        assert 0 < answer.compute_s + answer.queue_s <= time.monotonic() - began
        assert answer.down.seconds >= 0
        client.close()


@pytest.mark.parametrize("channels", ["canny", "tile"])
def test_thin_noise_fits_under_the_cap(channels: str) -> None:
    thin = Photo(np.random.default_rng(0).integers(0, 256, (64, 2048, 3), dtype=np.uint8))
    request = ConditionRequest(channels, 64)
    hint = detect(request, thin)
    noise = np.random.default_rng(1).integers(0, 256, hint.shape, dtype=np.uint8)
    assert noise.size > 32 * 64**2 * 3 // 4 - 1 or channels == "canny"
    with lying({**HELD, "POST ": reply(encode_hint(noise), kind="image/png")}) as liar:
        client = client_of(liar.url)
        answer = client.preprocess(request, thin, cancelled=NEVER, deadline_s=LONG_S)
        np.testing.assert_array_equal(answer.picture, noise)
        client.close()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_cancel_while_connecting_sends_nothing(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled while the connection is made, be it TCP's or TLS's part: no request goes out."""
    entered, go_on, cancelled = threading.Event(), threading.Event(), threading.Event()
    kind = call._Plain if scheme == "http" else call._Secure
    connect = kind.__mro__[1].connect

    def slow(connection: object) -> None:
        entered.set()
        go_on.wait(2 * LONG_S)
        HTTPConnection.connect(connection)  # type: ignore[arg-type]

    monkeypatch.setattr(kind.__mro__[1], "connect", slow)
    with lying({"": reply(b"{}")}) as liar:
        client = client_of(liar.url.replace("http:", f"{scheme}:"))

        def upload() -> None:
            with pytest.raises(Cancelled):
                client.upload(PHOTO, cancelled=cancelled, deadline_s=3 * LONG_S)

        run = threading.Thread(target=upload)
        run.start()
        assert entered.wait(LONG_S)
        cancelled.set()
        run.join(LONG_S)
        assert not run.is_alive()  # while the connection is still being made
        monkeypatch.setattr(kind.__mro__[1], "connect", connect)
        go_on.set()
        wait_until(lambda: not any(one.name == "tandem-call" for one in threading.enumerate()))
        assert liar.asked == []
        client.close()


def test_upload_that_is_cut() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (512, 512, 3), dtype=np.uint8)
    with lying({"HEAD ": reply(status=404), "PUT ": nothing, "cut": nothing}) as liar:
        client = client_of(liar.url)
        with pytest.raises(WorkerFailed) as caught:
            client.upload(Photo(noise), cancelled=NEVER, deadline_s=LONG_S)
        assert caught.value.code in ("broken_link", "paused")
        client.close()


def slow_body(connection: socket.socket, _: str) -> None:
    connection.sendall(
        b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 9999\r\n\r\n"
    )
    silent(connection, _)


@pytest.mark.parametrize(
    ("point", "answers"),
    [
        ("HEAD", {"HEAD ": silent}),
        ("PUT", {"HEAD ": reply(status=404), "PUT ": silent}),
        ("POST", {**HELD, "POST ": silent}),
        ("POST", {**HELD, "POST ": slow_body}),
        ("POST", {**HELD, "POST ": problem("queue_full", 429, Retry_After="60")}),
    ],
    ids=["head", "upload", "computing", "download", "pause"],
)
def test_cancel_at_each_point(point: str, answers: dict[str, Answer]) -> None:
    with lying({"DELETE ": reply(b"{}"), **answers}) as liar:
        client, cancelled = client_of(liar.url), threading.Event()

        def run() -> None:
            with pytest.raises(Cancelled):
                client.preprocess(REQUEST, PHOTO, cancelled=cancelled, deadline_s=5 * LONG_S)

        before = threading.active_count()
        thread = threading.Thread(target=run)
        thread.start()
        wait_until(lambda: any(asked.startswith(point) for asked in liar.asked))
        time.sleep(0.2)  # for what follows the question
        cancelled.set()
        thread.join(SILENT_S / 2)  # neither the answer nor the pause comes so soon
        assert not thread.is_alive()
        wait_until(lambda: threading.active_count() <= before + 2)  # no thread stays in its read
        client.close()


def test_wrong_hash_is_the_clients_own() -> None:
    """What goes up is named by its own sha256, whatever the worker says."""
    seen: list[str] = []

    def keep(connection: socket.socket, what: str) -> None:
        seen.append(what.rsplit("/", 1)[1])
        reply(b'{"sha256": "lie"}', 201)(connection, what)

    with lying({"HEAD ": reply(status=404), "PUT ": keep}) as liar:
        client = client_of(liar.url)
        client.upload(PHOTO, cancelled=NEVER, deadline_s=5)
        client.close()
    assert len(seen[0]) == len(hashlib.sha256().hexdigest())
