"""TLS with a pinned certificate; a disk that fills up; a worker that dies at each point."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from comfyui_tandem.edge_worker.guard import ConnectionLimits
from comfyui_tandem.engine.conditions import ConditionRequest, Photo, detect
from comfyui_tandem.engine.offload.client import WorkerClient, WorkerFailed
from comfyui_tandem.engine.offload.workers import WorkerEntry

from .conftest import LONG_S, TOKEN, Running, make_photo, spawn, worker_process

pytestmark = pytest.mark.slow  # each starts a worker of its own
NEVER = threading.Event()
MOST_AN_ADDRESS = ConnectionLimits().at_door_an_address
REQUEST = ConditionRequest("canny", 64)


def certificate(folder: Path, name: str = "localhost") -> tuple[Path, Path]:
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    command = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
        "-nodes", "-days", "2", "-keyout", str(key), "-out", str(cert), "-subj", f"/CN={name}",
        "-addext", f"subjectAltName=DNS:{name}",
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    return cert, key


def test_tls(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    other, _ = certificate(tmp_path, "stranger")
    arguments = ("--certfile", str(cert), "--keyfile", str(key))
    with worker_process(tmp_path / "log", *arguments) as worker:
        assert worker.url.startswith("https://")
        url = f"https://localhost:{worker.port}"
        client = WorkerClient(WorkerEntry("shed", url, TOKEN, ca_file=str(cert)))
        answer = client.preprocess(REQUEST, make_photo(), cancelled=NEVER, deadline_s=LONG_S)
        np.testing.assert_array_equal(answer.picture, detect(REQUEST, make_photo()))
        client.close()
        untrusted = [
            WorkerEntry("shed", url, TOKEN, ca_file=str(other)),
            WorkerEntry("shed", url, TOKEN),
            WorkerEntry("shed", f"https://127.0.0.1:{worker.port}", TOKEN, ca_file=str(cert)),
        ]
        for entry in untrusted:
            client = WorkerClient(entry)
            with pytest.raises(WorkerFailed) as caught:
                client.capabilities()
            assert caught.value.code == "tls"
            client.close()


HEALTHCHECK = Path(__file__).resolve().parents[2] / "edge_worker" / "deploy" / "healthcheck.py"


def healthy(port: int) -> bool:
    command = [sys.executable, "-I", str(HEALTHCHECK), str(port)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONG_S)
    assert not done.stderr
    return done.returncode == 0


@pytest.mark.parametrize("tls", [False, True])
def test_container_health_check(tmp_path: Path, tls: bool) -> None:
    cert, key = certificate(tmp_path)
    arguments = ("--certfile", str(cert), "--keyfile", str(key)) if tls else ()
    with worker_process(tmp_path / "log", "--no-spare", *arguments) as worker:
        assert healthy(worker.port)
        worker.process.terminate()
        worker.process.wait(LONG_S)
        assert not healthy(worker.port)


def test_silent_tls_handshake_is_closed(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    arguments = ("--certfile", str(cert), "--keyfile", str(key))
    with worker_process(tmp_path / "log", *arguments) as worker:
        began = time.monotonic()
        with socket.create_connection(("127.0.0.1", worker.port), timeout=LONG_S / 2) as silent:
            assert silent.recv(1) == b""  # asyncio itself would wait for a minute
        assert time.monotonic() - began >= 4


def test_silent_tls_connections_are_counted_before_the_handshake(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    arguments = ("--certfile", str(cert), "--keyfile", str(key), "--no-spare")
    with worker_process(tmp_path / "log", *arguments) as worker, ExitStack() as stack:
        for _ in range(MOST_AN_ADDRESS + 100):
            stack.enter_context(socket.create_connection(("127.0.0.1", worker.port), LONG_S))
        files = len(list(Path(f"/proc/{worker.process.pid}/fd").iterdir()))
        assert files <= MOST_AN_ADDRESS + 60
        limits = Path(f"/proc/{worker.process.pid}/limits").read_text()
        [row] = [line for line in limits.splitlines() if line.startswith("Max open files")]
        assert int(row.split()[3]) <= 4096
        url = f"https://localhost:{worker.port}"
        client = WorkerClient(WorkerEntry("shed", url, TOKEN, ca_file=str(cert)))
        assert client.capabilities(LONG_S).slots == 1
        client.close()


def test_full_disk_is_said_and_survived(tmp_path: Path) -> None:
    """A limit on the size of files fails a write as a full disk does."""
    starter = (
        "import resource, runpy, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        "sys.argv = ['worker', '--port', '0', '--token-env', 'T']\n"
        "runpy.run_module('comfyui_tandem.edge_worker', run_name='__main__')\n"
    )
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    command = [sys.executable, "-c", starter]
    with spawn(command, tmp_path / "log", {"T": TOKEN}) as worker:
        client = WorkerClient(worker.entry)
        noise = np.random.default_rng(1).integers(0, 256, (400, 400, 3), dtype=np.uint8)
        with pytest.raises(WorkerFailed) as caught:
            client.upload(Photo(noise), cancelled=NEVER, deadline_s=LONG_S)
        assert caught.value.code == "no_space" and not caught.value.retryable
        answer = client.preprocess(REQUEST, make_photo(), cancelled=NEVER, deadline_s=LONG_S)
        np.testing.assert_array_equal(answer.picture, detect(REQUEST, make_photo()))
        client.close()


def test_real_full_disk(tmp_path: Path) -> None:
    full = tmp_path / "small"
    full.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(full)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("may not mount a small file system")
    try:
        with worker_process(tmp_path / "log", "--folder", str(full)) as worker:
            client = WorkerClient(worker.entry)
            noise = np.random.default_rng(2).integers(0, 256, (500, 500, 3), dtype=np.uint8)
            with pytest.raises(WorkerFailed) as caught:
                client.upload(Photo(noise), cancelled=NEVER, deadline_s=LONG_S)
            assert caught.value.code == "no_space"
            answer = client.preprocess(REQUEST, make_photo(), cancelled=NEVER, deadline_s=LONG_S)
            assert answer.picture.shape == (64, 88)
            client.close()
    finally:
        subprocess.run(["umount", "-l", str(full)], check=True)


@pytest.mark.parametrize("delay_s", [0.0, 0.002, 0.01, 0.03, 0.08])
def test_worker_killed_at_any_moment_is_one_error(tmp_path: Path, delay_s: float) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (1500, 1500, 3), dtype=np.uint8)
    with worker_process(tmp_path / "log") as worker:
        client = WorkerClient(worker.entry)
        client.capabilities()
        killer = threading.Timer(delay_s, worker.process.kill)
        killer.start()
        with pytest.raises(WorkerFailed) as caught:
            while True:
                wanted = ConditionRequest("blur", 1024)
                client.preprocess(wanted, Photo(noise), cancelled=NEVER, deadline_s=LONG_S)
        assert caught.value.code in ("broken_link", "refused")  # not "deadline"
        killer.join()
        client.close()


def test_children_killed_at_any_moment_cost_at_most_a_retry(tmp_path: Path) -> None:
    photo, wanted = make_photo(600, 600), ConditionRequest("blur", 768)
    expected = detect(wanted, photo)
    ends = time.monotonic() + 4 * LONG_S
    with worker_process(tmp_path / "log") as worker:
        client, codes = WorkerClient(worker.entry), []
        stop = threading.Event()
        killer = threading.Thread(target=kill_children, args=(worker, stop))
        killer.start()
        try:
            # The long form is part of the worker's benchmark.
            while len(codes) == codes.count("done") or "done" not in codes:
                assert time.monotonic() < ends, codes
                try:
                    answer = client.preprocess(wanted, photo, cancelled=NEVER, deadline_s=8)
                    np.testing.assert_array_equal(answer.picture, expected)
                    codes.append("done")
                except WorkerFailed as error:
                    codes.append(error.code)
        finally:
            stop.set()
            killer.join()
        assert set(codes) <= {
            "done", "worker_crashed", "crashed_before", "no_device", "deadline", "paused",
        }  # fmt: skip
        assert worker.process.poll() is None
        client.close()


def kill_children(worker: Running, stop: threading.Event) -> None:
    chance = np.random.default_rng(4)
    while not stop.wait(float(chance.uniform(0.5, 2.5))):
        for pid in worker.children():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
