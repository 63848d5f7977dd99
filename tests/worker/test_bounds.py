"""What one address, one upload, one connection may take; and what the worker hides."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from comfyui_tandem.edge_worker.answers import Answers
from comfyui_tandem.edge_worker.blobs import LONGEST_UPLOAD_S, MOST_PHOTOS, BlobStore
from comfyui_tandem.edge_worker.doors import Accepted, Doors
from comfyui_tandem.edge_worker.folders import private_folder
from comfyui_tandem.edge_worker.meters import Meters
from comfyui_tandem.edge_worker.problem import Problem
from comfyui_tandem.edge_worker.settings import Settings
from comfyui_tandem.engine.wire.codecs import PhotoLimits

from .conftest import BEARER, TOKEN, InProcess, Running, in_process, make_photo
from .test_routes import problem, send

HIDDEN = """
import ctypes
import comfyui_tandem.edge_worker.serve as serving
from comfyui_tandem.edge_worker.settings import Settings

def look(settings):
    raise SystemExit(40 + ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))  # PR_GET_DUMPABLE

serving.create_app = look
serving.serve(Settings(), serving.Address(port=0))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a matter of Linux's /proc")
def test_environment_is_hidden_before_any_child_starts() -> None:
    done = subprocess.run([sys.executable, "-c", HIDDEN], capture_output=True, timeout=60)
    assert done.returncode == 40, done.stderr


@pytest.fixture
def store(tmp_path: Path):  # type: ignore[no-untyped-def]
    clock = [0.0]
    limits = PhotoLimits(pixels=2**10)
    settings = Settings(photo=limits, blob_store_bytes=4 * limits.bytes, blob_folder=tmp_path)
    store = BlobStore(settings, clock=lambda: clock[0])
    store.open()
    yield store, clock, limits.bytes
    store.close()


def test_an_upload_that_trickles_on_for_ever_ends(store) -> None:  # type: ignore[no-untyped-def]
    blobs, clock, _ = store
    with blobs.receive("0" * 64, "192.0.2.1", 1000) as upload:
        upload.write(b"\x89PNG\r\n\x1a\n" + bytes(8))
        clock[0] = LONGEST_UPLOAD_S + 1
        with pytest.raises(Problem) as caught:
            upload.write(b"x")
    assert caught.value.code == "deadline"
    assert blobs.incoming_bytes == 0 and list(blobs.folder.iterdir()) == []


def test_many_tiny_photos_make_room_for_each_other(store) -> None:  # type: ignore[no-untyped-def]
    """Their bytes never fill the store, and each request looks through all of them."""
    blobs, _, _ = store
    for number in range(MOST_PHOTOS + 5):
        data = b"\x89PNG\r\n\x1a\n" + number.to_bytes(4, "big")
        with blobs.receive(hashlib.sha256(data).hexdigest(), "192.0.2.1", len(data)) as upload:
            upload.write(data)
            upload.keep()
    assert len(list(blobs.folder.iterdir())) == MOST_PHOTOS
    assert blobs.bytes == 12 * MOST_PHOTOS


def test_one_address_gets_half_of_the_room_for_uploads(store) -> None:  # type: ignore[no-untyped-def]
    blobs, _, most = store
    with blobs.receive("0" * 64, "192.0.2.1", most), blobs.receive("1" * 64, "192.0.2.1", most):
        with pytest.raises(Problem) as caught:
            blobs.receive("2" * 64, "192.0.2.1", most)
        assert caught.value.code == "queue_full"
        with blobs.receive("3" * 64, "192.0.2.2", most):
            assert blobs.incoming_bytes == 3 * most


def test_one_address_gets_half_of_the_room_for_answers() -> None:
    answers = Answers(100)
    answers.hold("192.0.2.1", 50)
    answers.check("192.0.2.2")
    with pytest.raises(Problem):
        answers.check("192.0.2.1")
    answers.hold("192.0.2.2", 50)
    with pytest.raises(Problem):
        answers.check("192.0.2.3")  # all of it is taken
    answers.release("192.0.2.1", 50)
    answers.check("192.0.2.1")
    assert answers.bytes == 50


def test_the_oldest_at_the_door_has_to_go() -> None:
    doors = Doors(Meters(), most=3, an_address=2)
    pairs = [socket.socketpair() for _ in range(5)]
    for number, (address, (here, _)) in enumerate(zip("aabbc", pairs, strict=True)):
        accepted = Accepted(here.family, here.type, here.proto, here.detach())
        accepted.door = (doors, (address, number))
        doors.knock((address, number), accepted)
        pairs[number] = (accepted, pairs[number][1])
    for _, there in pairs:
        there.setblocking(False)
    gone = []
    for number, (_, there) in enumerate(pairs):
        try:
            gone.append(number) if there.recv(1) == b"" else None
        except BlockingIOError:
            continue
    assert gone == [0, 1] and len(doors) == 3
    for accepted, there in pairs:
        accepted.close()
        there.close()
    assert len(doors) == 0


def test_folder_is_private_and_locked_while_it_is_used(tmp_path: Path) -> None:
    folder, lock = private_folder(tmp_path)
    other, second = private_folder(tmp_path)  # sweeps what nobody holds
    assert folder.exists() and other.exists() and folder.stat().st_mode & 0o077 == 0
    import os

    assert lock is not None and second is not None
    os.close(lock)
    third, last = private_folder(tmp_path)
    assert not folder.exists() and other.exists() and third.exists()
    os.close(second)
    os.close(last or 0)


def test_a_known_key_gives_its_job_also_without_its_photo() -> None:
    """A client that asks again must not start it again, whatever became of the photo."""

    async def test(worker: InProcess) -> None:
        blob = await send(worker, make_photo())
        headers = {**BEARER, "Idempotency-Key": "again"}
        form = {"photo_sha256": blob, "parts": [{"detector": "tile", "resolution": 64}]}
        first = await worker.client.post("/v1/jobs", json=form, headers=headers)
        await asyncio.gather(*worker.service.jobs.find(first.json()["id"]).running)
        worker.service.blobs._drop(blob)
        again = await worker.client.post("/v1/jobs", json=form, headers=headers)
        assert again.json()["id"] == first.json()["id"]
        other = await worker.client.post("/v1/jobs", json=form, headers=BEARER)
        assert problem(other) == "unknown_blob"

    async def run() -> None:
        async with in_process(Settings(token=TOKEN, spare=False)) as worker:
            await test(worker)

    asyncio.run(run())


@pytest.mark.parametrize("path", ["/v1/health/live", "/v1/capabilities", "/v1/nothing"])
def test_browsers_are_told_not_to_guess_types(running: Running, path: str) -> None:
    answer = requests.get(running.url + path, headers=BEARER, timeout=60)
    assert answer.headers["x-content-type-options"] == "nosniff"
