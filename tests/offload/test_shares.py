"""Fixed shares of a link: rates that are kept, plans that say so, runs that do so."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from comfyui_tandem.engine.conditions import Condition, ConditionRequest, Photo, detect
from comfyui_tandem.engine.errors import BadInput
from comfyui_tandem.engine.offload import (
    LOCAL,
    Costs,
    Input,
    Instance,
    Task,
    Worker,
    WorkerClient,
    offload_payload,
    plan_conditions,
    run_lanes,
)
from comfyui_tandem.engine.offload.call import Http
from comfyui_tandem.engine.offload.shares import best_shares, plan_shares, shares_timeline
from comfyui_tandem.engine.offload.workers import WorkerEntry
from comfyui_tandem.engine.wire.pacing import BURST_S, LEAST_BYTES_PER_S, TokenBucket
from comfyui_tandem.headless.worker import WorkerProcess

from .runs import LONG_S

pytestmark = pytest.mark.quick
NEVER = threading.Event()
RATE = 2e5  # bytes a second: uploads of a photo last long enough to meet on a busy machine


# --- the bucket, on a clock of our own


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("rate", [3e4, 1e6, 1.25e8])
def test_any_two_seconds_carry_the_rate_within_a_tenth(rate: float) -> None:
    clock = Clock()
    bucket, sent, last = TokenBucket(rate, clock), [], clock.now + 5
    chunk = bucket.chunk_bytes
    while clock.now < last:
        clock.now += bucket.wait_s(chunk)
        sent.append(clock.now)
    ends = list(itertools.accumulate([chunk] * len(sent)))
    for start in np.arange(100, 102.9, 0.1):
        inside = [n for n, when in enumerate(sent) if start <= when < start + 2]
        carried = ends[inside[-1]] - ends[inside[0]] + chunk
        assert abs(carried / (2 * rate) - 1) < 0.1


def test_a_pause_is_not_made_up_for_beyond_the_burst() -> None:
    clock = Clock()
    bucket = TokenBucket(1e6, clock)
    clock.now += 60
    size = int(BURST_S * 1e6)
    assert bucket.wait_s(size) == 0
    assert bucket.wait_s(1000) == pytest.approx(0.001)


def test_oversleeping_is_made_up_for() -> None:
    clock, rate, sent = Clock(), 1e6, 0
    bucket = TokenBucket(rate, clock)
    while clock.now < 110:
        clock.now += bucket.wait_s(bucket.chunk_bytes) + 0.004  # a busy machine wakes late
        sent += bucket.chunk_bytes
    assert sent / 10 / rate == pytest.approx(1.0, abs=0.02)


def test_a_rate_that_would_pass_for_stalled_is_raised() -> None:
    assert TokenBucket(1.0).bytes_per_s == LEAST_BYTES_PER_S


# --- the same over a real socket


def test_a_body_leaves_at_its_rate() -> None:
    """To a server that reads as fast as it can; generous, as the machine may be busy."""
    arrived: list[tuple[float, int]] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            seen = 0
            while seen < 1_000_000:
                data = connection.recv(65536)
                seen += len(data)
                arrived.append((time.monotonic(), len(data)))
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    http = Http(WorkerEntry("garage", f"http://127.0.0.1:{listener.getsockname()[1]}"))
    began = time.monotonic()
    body = bytes(1_000_000)
    http.ask("PUT", "/x", deadline_s=30, most_bytes=10, body=body, bytes_per_s=500_000)
    took = time.monotonic() - began
    thread.join()
    http.close()
    listener.close()
    assert 1.8 < took < 6  # at 500 kB/s 2 s; a machine at a third of its speed may take so long
    assert sum(size for when, size in arrived if when < began + 1.0) < 0.6e6


def test_giving_up_does_not_wait_for_the_bucket() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    http = Http(WorkerEntry("garage", f"http://127.0.0.1:{listener.getsockname()[1]}"))
    cancelled = threading.Event()
    threading.Timer(0.2, cancelled.set).start()
    with pytest.raises(Exception, match="cancelled"):
        http.ask(
            "PUT", "/x", deadline_s=60, most_bytes=10, body=bytes(10**6), cancelled=cancelled,
            bytes_per_s=LEAST_BYTES_PER_S,
        )  # fmt: skip
    ends = time.monotonic() + LONG_S / 2  # of the minute that the call would have had
    while any(one.name == "tandem-call" for one in threading.enumerate()):
        assert time.monotonic() < ends
        time.sleep(0.02)
    http.close()
    listener.close()


@pytest.fixture(scope="module")
def garage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    with WorkerProcess.start("garage", log=tmp_path_factory.mktemp("worker") / "log") as worker:
        worker.wait_ready()
        yield worker


def noise(side: int = 256, seed: int = 0) -> Photo:
    rows = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return Photo(rows)


def test_a_worker_sends_at_the_rate_it_is_asked_for(garage: WorkerProcess) -> None:
    client = WorkerClient(garage.entry)
    request, photo = ConditionRequest("tile", 256), noise()
    first = client.preprocess(request, photo, cancelled=NEVER, deadline_s=30)
    before = client.downlink_bytes_per_s()
    rate = first.down.bytes / 1.0
    slow = client.preprocess(request, photo, cancelled=NEVER, deadline_s=30, bytes_per_s=rate)
    np.testing.assert_array_equal(slow.picture, first.picture)
    assert 0.9 - BURST_S < slow.down.seconds < 10
    assert client.downlink_bytes_per_s() == before, "it tells nothing of the link"
    client.close()


# --- planning


def instance(own: bool = False) -> Instance:
    tasks = tuple(
        Task(f"t{n}", (f"p{n if own else 0}",), {LOCAL: 30.0, "w0": 0.1}, 1e6) for n in range(3)
    )
    photos = tuple(Input(f"p{n}", 1e6) for n in range(3 if own else 1))
    return Instance(tasks, photos, workers=(Worker("w0", 1e6, 1e6, slots=0),))


def test_a_shared_photo_goes_once_at_the_full_rate() -> None:
    found, shares = plan_shares(instance())
    timeline = shares_timeline(instance(), found.lane, found.order, shares)
    [up] = [span for span in timeline.spans if span.kind == "up"]
    assert up.end_s - up.start_s == pytest.approx(1.0)
    assert found.makespan_s == pytest.approx(1.0 + 0.1 + 3.0)


def test_own_photos_go_at_once_each_at_its_share() -> None:
    case = instance(own=True)
    lanes = dict.fromkeys(case.task, "w0")
    shares = best_shares(case, lanes, tuple(case.task))
    assert shares == pytest.approx(dict.fromkeys(case.task, 1 / 3))
    timeline = shares_timeline(case, lanes, tuple(case.task), shares)
    ups = [span for span in timeline.spans if span.kind == "up"]
    assert [(span.start_s, span.end_s) for span in ups] == [(0.0, pytest.approx(3.0))] * 3
    assert timeline.makespan_s == pytest.approx(3.0 + 0.1 + 3.0)


def test_chains_have_no_shares() -> None:
    tasks = (Task("a", (), {LOCAL: 1.0}), Task("b", ("a",), {LOCAL: 1.0}))
    with pytest.raises(BadInput, match="bandwidth"):
        plan_shares(Instance(tasks))


# --- running


def test_a_run_with_shares_gives_the_same_hints_and_says_how(garage: WorkerProcess) -> None:
    requests = [
        ConditionRequest("tile", 256, where="edge"),
        ConditionRequest("canny", 256, where="edge"),
        ConditionRequest("blur", 256),
    ]
    photos = [noise(seed=300 + n) for n in range(3)]  # that the worker has not seen
    conditions = [Condition(*both) for both in zip(requests, ((p,) for p in photos), strict=True)]
    costs = Costs()
    offload = plan_conditions(conditions, [garage.entry], costs, bandwidth="shares")
    slow = tuple(
        replace(one, up_bytes_per_s=RATE, down_bytes_per_s=RATE) for one in offload.instance.workers
    )
    offload = replace(offload, instance=replace(offload.instance, workers=slow))
    assert set(offload.shares) == {t for t, lane in offload.plan.lane.items() if lane == "garage"}
    payload = offload_payload(offload, None)
    assert payload["bandwidth"] == "shares"
    assert payload["shares"] == dict(offload.shares)
    outcome = run_lanes(offload, costs, report=lambda _: None, cancelled=NEVER)
    for condition, hint in zip(conditions, outcome.hints, strict=True):
        [picture], [photo] = hint.pictures, condition.photos
        np.testing.assert_array_equal(picture, detect(condition.request, photo))
    ups = [span for span in outcome.timeline.spans if span.kind == "up"]
    assert min(one.end_s for one in ups) > max(one.start_s for one in ups), "both at once"
    sent_s = {span.what: span.end_s - span.start_s for span in ups}
    for task, photo in (("0:tile", photos[0]), ("1:canny", photos[1])):
        # Noise hardly shrinks: 190 kB at a share of the rate, less what a bucket lets out at once.
        assert sent_s[photo.sha256] > 0.8 * 190_000 / (offload.shares[task] * RATE)


def test_without_shares_a_plan_names_none(tmp_path: Path) -> None:
    condition = Condition(ConditionRequest("canny", 64), (noise(64),))
    payload = offload_payload(plan_conditions([condition], [], Costs()), None)
    assert (payload["bandwidth"], payload["shares"]) == ("full", {})
