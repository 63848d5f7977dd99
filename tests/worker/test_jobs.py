"""Jobs: results one by one, events, cancel, idempotency; and the meters."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from unittest import mock

import httpx
import numpy as np
import pytest
from comfyui_tandem.edge_worker.settings import Settings
from comfyui_tandem.engine.conditions import ConditionRequest, detect
from comfyui_tandem.engine.wire.codecs import decode_hint

from .conftest import BEARER, LONG_S, ODD_CHILD, TOKEN, InProcess, in_process, make_photo
from .odd_worker import hangs, let_go
from .test_routes import problem, send

pytestmark = pytest.mark.slow  # each starts children of its own
ODD = Settings(token=TOKEN, child_program=ODD_CHILD)


def run(test, settings: Settings = ODD) -> None:
    async def inner() -> None:
        async with in_process(settings) as worker:
            await test(worker)

    asyncio.run(inner())


async def create(worker: InProcess, blob: str, *names: str, **headers: str) -> httpx.Response:
    parts = [{"detector": name, "resolution": 64} for name in names]
    form = {"photo_sha256": blob, "parts": parts}
    return await worker.client.post("/v1/jobs", json=form, headers={**BEARER, **headers})


async def events(worker: InProcess, job: str, **headers: str) -> list[tuple[int, str, dict]]:
    url = f"/v1/jobs/{job}/events"
    answer = await worker.client.get(url, headers={**BEARER, **headers})
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    found = []
    for block in answer.text.strip().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n"))
        found.append((int(lines["id"]), lines["event"], json.loads(lines["data"])))
    return found


def test_results_come_one_by_one_and_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    monkeypatch.setenv("TANDEM_TEST_HANGS", str(hangs(log)))

    async def test(worker: InProcess) -> None:
        photo = make_photo()
        blob = await send(worker, photo)
        made = await create(worker, blob, "canny", "held", "tile")
        assert made.status_code == 202 and made.json()["state"] == "queued"
        url = f"/v1/jobs/{made.json()['id']}"
        while (
            first := await worker.client.get(f"{url}/result/0", headers=BEARER)
        ).status_code == 409:
            assert problem(first) == "not_ready"
            await asyncio.sleep(0.005)  # nothing in process waits by itself
        expected = detect(ConditionRequest("canny", 64), photo)
        np.testing.assert_array_equal(decode_hint(first.content, expected.shape), expected)
        state = (await worker.client.get(url, headers=BEARER)).json()
        assert "done" not in [part["state"] for part in state["parts"]][1:]
        let_go(log)
        told = await events(worker, made.json()["id"])
        assert [number for number, _, _ in told] == list(range(len(told)))
        assert told[-1][1:] == ("end", {"state": "done"})
        of_held = [event for _, event, facts in told if facts.get("part") == 1]
        assert of_held == ["queued", "loading", "running", "running", "running", "done"]
        shares = [
            facts["progress"]
            for _, _, facts in told
            if facts.get("part") == 1 and "progress" in facts
        ]
        assert shares == sorted(shares) and shares[-1] == 1.0
        starts = [facts["part"] for _, event, facts in told if event == "loading"]
        assert starts == [0, 1, 2]
        later = await events(worker, made.json()["id"], **{"Last-Event-ID": str(len(told) - 2)})
        assert later == told[-1:]
        assert problem(await worker.client.get(f"{url}/result/3", headers=BEARER)) == "not_found"

    run(test)


def test_one_bad_part_does_not_spoil_the_others() -> None:
    async def test(worker: InProcess) -> None:
        blob = await send(worker, make_photo())
        job = (await create(worker, blob, "crash", "wrong", "canny")).json()["id"]
        assert (await events(worker, job))[-1][2] == {"state": "failed"}
        form = (await worker.client.get(f"/v1/jobs/{job}", headers=BEARER)).json()
        assert [part["state"] for part in form["parts"]] == ["failed", "failed", "done"]
        codes = [part["problem"]["code"] for part in form["parts"][:2]]
        assert codes == ["worker_crashed", "detector_failed"]
        answer = await worker.client.get(f"/v1/jobs/{job}/result/0", headers=BEARER)
        assert problem(answer) == "worker_crashed"

    run(test)


def test_cancel_is_idempotent_and_frees_the_child() -> None:
    async def test(worker: InProcess) -> None:
        blob = await send(worker, make_photo())
        job = (await create(worker, blob, "hang", "canny")).json()["id"]
        while not worker.service.line.running:
            await asyncio.sleep(0.01)
        for _ in range(2):
            answer = await worker.client.delete(f"/v1/jobs/{job}", headers=BEARER)
            assert answer.json()["state"] == "cancelled"
            assert worker.service.line.running == worker.service.line.waiting == 0
        assert [event for _, event, _ in await events(worker, job)][-1] == "end"

    run(test)


def test_deadline_expires_what_is_left() -> None:
    async def test(worker: InProcess) -> None:
        blob = await send(worker, make_photo())
        made = await create(worker, blob, "canny", "hang", "tile", **{"Tandem-Deadline": "3.0"})
        assert (await events(worker, made.json()["id"]))[-1][2] == {"state": "expired"}
        form = (await worker.client.get(f"/v1/jobs/{made.json()['id']}", headers=BEARER)).json()
        assert [part["state"] for part in form["parts"]] == ["done", "expired", "expired"]

    run(test)


def test_idempotency_key() -> None:
    async def test(worker: InProcess) -> None:
        blob = await send(worker, make_photo())
        key = {"Idempotency-Key": "run-1:0"}
        first = (await create(worker, blob, "canny", **key)).json()
        assert (await create(worker, blob, "canny", **key)).json()["id"] == first["id"]
        assert (await create(worker, blob, "canny")).json()["id"] != first["id"]
        assert problem(await create(worker, blob, "tile", **key)) == "idempotency_mismatch"

    run(test)


def test_nothing_is_made_of_a_bad_job() -> None:
    async def test(worker: InProcess) -> None:
        blob = await send(worker, make_photo())
        assert problem(await create(worker, "0" * 64, "canny")) == "unknown_blob"
        assert problem(await create(worker, blob, "canny", "nothing")) == "unknown_detector"
        assert problem(await create(worker, blob)) == "bad_param"
        assert problem(await create(worker, blob, *["canny"] * 17)) == "bad_param"
        assert worker.service.line.waiting == 0

    run(test)


def test_results_stay_until_they_are_fetched() -> None:
    async def test(worker: InProcess) -> None:
        blob, jobs = await send(worker, make_photo()), []
        while (made := await create(worker, blob, "tile")).status_code == 202:
            jobs.append(made.json()["id"])
            await events(worker, jobs[-1])
            assert len(jobs) < 9
        assert problem(made) == "queue_full" and len(jobs) >= 2
        wanted = {"photo_sha256": blob, "resolution": 64}
        direct = await worker.client.post("/v1/preprocess/tile", json=wanted, headers=BEARER)
        assert problem(direct) == "queue_full"
        for job in jobs:  # over the cap, and still there
            url = f"/v1/jobs/{job}/result/0"
            assert (await worker.client.get(url, headers=BEARER)).status_code == 200
        assert (await create(worker, blob, "tile")).status_code == 202
        oldest = await worker.client.get(f"/v1/jobs/{jobs[0]}", headers=BEARER)
        assert problem(oldest) == "unknown_job"

    run(test, Settings(token=TOKEN, result_store_bytes=25_000, spare=False))


def test_answered_hints_hold_no_memory() -> None:
    async def test(worker: InProcess) -> None:
        wanted = {"photo_sha256": await send(worker, make_photo()), "resolution": 64}
        for _ in range(5):
            answer = await worker.client.post("/v1/preprocess/tile", json=wanted, headers=BEARER)
            assert answer.status_code == 200
            assert worker.service.line.answers.bytes == 0

    run(test, Settings(token=TOKEN, result_store_bytes=25_000, spare=False))


def test_idle_worker_forgets_by_itself() -> None:
    async def test(worker: InProcess) -> None:
        blob = await send(worker, make_photo())
        job = (await create(worker, blob, "tile")).json()["id"]
        await events(worker, job)
        assert worker.service.line.answers.bytes > 0
        began = time.monotonic()
        while worker.service.line.answers.bytes or list(worker.service.blobs.folder.iterdir()):
            assert time.monotonic() - began < LONG_S
            await asyncio.sleep(0.05)

    run(test, Settings(token=TOKEN, spare=False, blob_seconds=2.0, result_seconds=2.0))


def test_events_after_the_end_are_none() -> None:
    async def test(worker: InProcess) -> None:
        job = (await create(worker, await send(worker, make_photo()), "tile")).json()["id"]
        last = len(await events(worker, job)) - 1
        for number in (last, last + 5):
            headers = {**BEARER, "Last-Event-ID": str(number)}
            asking = worker.client.get(f"/v1/jobs/{job}/events", headers=headers)
            assert (await asyncio.wait_for(asking, LONG_S)).text == ""

    run(test, Settings(token=TOKEN, spare=False))


def test_mistake_in_a_job_does_not_keep_the_worker_from_closing() -> None:
    async def test(worker: InProcess) -> None:
        blob = await send(worker, make_photo())
        with mock.patch.object(worker.service.line, "_take_turn", side_effect=KeyError("mistake")):
            job = (await create(worker, blob, "tile")).json()["id"]
            assert (await events(worker, job))[-1][2] == {"state": "failed"}
        folders.append(worker.service.blobs.folder)

    folders: list[Path] = []
    run(test, Settings(token=TOKEN, spare=False))
    assert not folders[0].exists()


def test_metrics_count_without_names_of_users() -> None:
    async def test(worker: InProcess) -> None:
        blob = await send(worker, make_photo())
        job = (await create(worker, blob, "canny", "wrong")).json()["id"]
        await events(worker, job)
        await worker.client.get("/v1/evil%22%7D%0Aname", headers=BEARER)
        answer = await worker.client.get("/v1/metrics", headers=BEARER)
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        text = answer.text
        assert 'tandem_tasks_total{detector="canny",outcome="done"} 1' in text
        assert 'tandem_tasks_total{detector="wrong",outcome="detector_failed"} 1' in text
        assert 'tandem_compute_seconds_bucket{detector="canny",le="+Inf"} 1' in text
        assert '{method="PUT",route="/v1/blobs/{blob}",status="201"} 1' in text
        assert '{method="GET",route="none",status="404"} 1' in text
        assert blob not in text and job not in text and "evil" not in text
        for line in text.splitlines():
            assert line.startswith("# TYPE ") or float(line.rpartition(" ")[2]) >= 0

    run(test)
