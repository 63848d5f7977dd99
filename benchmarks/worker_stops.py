"""How a worker stops things: cancelled calls, killed children, itself."""

from __future__ import annotations

import os
import signal
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np

from ..engine.conditions import ConditionRequest, Photo, detect
from ..engine.offload.client import Cancelled, WorkerClient, WorkerFailed
from ..engine.offload.known import known_worker
from .worker_process import NEVER, Worker, live, picture, quantile, queue, wait_until


def cancels(worker: Worker, count: int) -> dict[str, float]:
    """From a cancel to a free device, while the detector hears nothing."""
    client, photo, wanted = worker.client(), picture(), ConditionRequest("blur", 2048)
    other, quick = worker.client(), ConditionRequest("canny", 128)
    client.upload(photo, cancelled=NEVER, deadline_s=20)
    told, freed = [], []
    for _ in range(count):
        cancelled = threading.Event()
        thread = threading.Thread(target=_until_cancelled, args=(client, wanted, photo, cancelled))
        thread.start()
        _stop_the_busy_child(worker, client)
        there = set(worker.children())
        began = time.perf_counter()
        cancelled.set()
        thread.join()
        told.append(time.perf_counter() - began)
        # Free means that the hung process is gone and that another client's task was done.
        wait_until(lambda before=there: bool(before - set(worker.children())))
        _signal_children(worker, signal.SIGCONT)
        other.preprocess(quick, photo, cancelled=NEVER, deadline_s=20)
        freed.append(time.perf_counter() - began)
        wait_until(lambda: live(client) == 2)
    client.close()
    other.close()
    return {
        "cancel_p99_s": quantile(freed, 0.99),
        "cancel_median_s": statistics.median(freed),
        "cancel_client_p99_s": quantile(told, 0.99),
    }


def _until_cancelled(
    client: WorkerClient, wanted: ConditionRequest, photo: Photo, cancelled: threading.Event
) -> None:
    """Asks again where an answer came first, as before anybody saw the child at work."""
    with suppress(Cancelled):
        while True:
            client.preprocess(wanted, photo, cancelled=cancelled, deadline_s=60)


def _stop_the_busy_child(worker: Worker, client: WorkerClient) -> None:
    wait_until(lambda: queue(client)["running"] == 1)
    _signal_children(worker, signal.SIGSTOP)  # the idle one too: who is busy is not told


def _signal_children(worker: Worker, sign: signal.Signals) -> None:
    for pid in worker.children():
        with suppress(ProcessLookupError):  # it has just ended by itself
            os.kill(pid, sign)


def replacements(worker: Worker, count: int) -> dict[str, float]:
    """After both children are killed: until a new one has answered, and until both are back."""
    client, photo, wanted = worker.client(), picture(), ConditionRequest("canny", 128)
    client.preprocess(wanted, photo, cancelled=NEVER, deadline_s=20)
    answered, spared = [], []
    for _ in range(count):
        wait_until(lambda: live(client) == 2)
        os.kill(worker.children()[-1], signal.SIGKILL)
        began = time.perf_counter()
        client.preprocess(wanted, photo, cancelled=NEVER, deadline_s=20)
        spared.append(time.perf_counter() - began)
        wait_until(lambda: live(client) == 2)
        _signal_children(worker, signal.SIGKILL)
        began = time.perf_counter()
        client.preprocess(wanted, photo, cancelled=NEVER, deadline_s=20)
        answered.append(time.perf_counter() - began)
    client.close()
    return {
        "answer_after_kill_with_spare_s": statistics.median(spared),
        "child_replacement_s": statistics.median(answered),
    }


def drain_seconds(worker: Worker) -> float:
    """From SIGTERM to the end, with a hung job and seven waiting ones."""
    photo, wanted = picture(), ConditionRequest("blur", 2048)
    clients = [worker.client() for _ in range(8)]
    clients[0].upload(photo, cancelled=NEVER, deadline_s=20)

    def ask(client: WorkerClient) -> None:
        try:
            client.preprocess(wanted, photo, cancelled=NEVER, deadline_s=60)
        except WorkerFailed:
            return

    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask, client) for client in clients]
        _stop_the_busy_child(worker, clients[0])
        began = time.perf_counter()
        worker.process.terminate()
        worker.process.wait(30)
        seconds = time.perf_counter() - began
        for one in asked:
            one.result()
    for client in clients:
        client.close()
    return seconds


KNOWN_ENDS = {"worker_crashed", "crashed_before", "no_device", "deadline", "paused"}


def kills(worker: Worker, seconds: float) -> dict[str, float]:
    """Calls while all children are killed at random moments: right, or an error with a name."""
    photo, wanted = picture(1), ConditionRequest("blur", 768)
    expected, client = detect(wanted, photo), worker.client()
    stop, killed = threading.Event(), [0]
    killer = threading.Thread(target=_kill_at_random, args=(worker, stop, killed))
    killer.start()
    right = wrong = failed = odd = 0
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        try:
            answer = client.preprocess(wanted, photo, cancelled=NEVER, deadline_s=8)
            same = np.array_equal(answer.picture, expected)
            right, wrong = right + same, wrong + (not same)
        except WorkerFailed as error:
            failed, odd = failed + 1, odd + (error.code not in KNOWN_ENDS)
            if error.code == "crashed_before":  # this photo is refused now
                photo = picture(2 + failed)
                expected = detect(wanted, photo)
            if error.code == "paused":
                time.sleep(0.5)  # of its minute, or the loop would spin
    stop.set()
    killer.join()
    client.close()
    known_worker(worker.entry.url).breaker.succeeded()  # what comes next does not wait a minute
    wait_until(lambda: len(worker.children()) == 2)
    return {
        "kills": killed[0],
        "answers_under_kills": right,
        "failed_under_kills": failed,
        "different_hints_under_kills": wrong,
        "odd_errors_under_kills": odd,
    }


def _kill_at_random(worker: Worker, stop: threading.Event, killed: list[int]) -> None:
    chance = np.random.default_rng(4)
    while not stop.wait(float(chance.uniform(0.2, 2.0))):
        for pid in worker.children():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                killed[0] += 1
