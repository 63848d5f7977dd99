"""Detectors that crash, hang, hog and lie: one task is lost, the worker lives."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from pathlib import Path

import pytest
from comfyui_tandem.edge_worker.child_forms import read_ready
from comfyui_tandem.edge_worker.child_process import Child, ChildDied
from comfyui_tandem.edge_worker.frames import BrokenPipe
from comfyui_tandem.edge_worker.pool import LONGEST_PAUSE_S
from comfyui_tandem.edge_worker.settings import Settings

from .conftest import BEARER, LONG_S, ODD_CHILD, TOKEN, InProcess, alive, in_process, make_photo
from .test_routes import problem, send

pytestmark = pytest.mark.slow  # each starts children of its own
SETTINGS = Settings(token=TOKEN, child_program=ODD_CHILD, task_seconds=LONG_S, slots=1)


def run(test, settings: Settings = SETTINGS) -> None:
    async def inner() -> None:
        async with in_process(settings) as worker:
            await test(worker)

    asyncio.run(inner())


async def ask(worker: InProcess, name: str, blob: str, deadline_s: float = LONG_S, call: str = ""):
    headers = {**BEARER, "Tandem-Deadline": str(deadline_s)}
    headers |= {"Tandem-Job": call} if call else {}
    wanted = {"photo_sha256": blob, "resolution": 64}
    return await worker.client.post(f"/v1/preprocess/{name}", json=wanted, headers=headers)


async def until(what, timeout_s: float = LONG_S) -> None:
    began = time.monotonic()
    while not what():
        assert time.monotonic() - began < timeout_s
        await asyncio.sleep(0.005)


async def still_works(worker: InProcess, blob: str) -> None:
    assert (await ask(worker, "canny", blob)).status_code == 200


def test_crash_ends_one_task_and_twice_is_refused() -> None:
    async def test(worker: InProcess) -> None:
        blob, other = await send(worker, make_photo()), await send(worker, make_photo(seed=7))
        for _ in range(2):
            answer = await ask(worker, "crash", blob)
            assert problem(answer) == "worker_crashed" and answer.json()["retryable"]
            assert "signal 6" in answer.json()["detail"]
            await still_works(worker, blob)
        refused = await ask(worker, "crash", blob)
        assert problem(refused) == "crashed_before" and not refused.json()["retryable"]
        assert problem(await ask(worker, "crash", other)) == "worker_crashed"
        await still_works(worker, blob)

    run(test)


def test_hang_ends_at_its_deadline_and_the_spare_takes_over() -> None:
    async def test(worker: InProcess) -> None:
        blob = await send(worker, make_photo())
        await until(lambda: worker.service.pool.live == 2)
        before = {*worker.service.pool.idle_pids}
        answer = await ask(worker, "hang", blob, deadline_s=0.5)
        assert problem(answer) == "deadline"
        await still_works(worker, blob)
        assert worker.service.pool.idle_pids[-1] in before  # the spare: no start to wait for
        await until(lambda: worker.service.pool.live == 2)
        assert len(before & {*worker.service.pool.idle_pids}) == 1

    run(test)


def test_cancel_frees_the_child_at_once() -> None:
    """Within a second, as its benchmark measures; here, long before its deadline would."""

    async def test(worker: InProcess) -> None:
        blob = await send(worker, make_photo())
        pool = worker.service.pool
        for number in range(10):
            call = f"{number:032x}"
            asking = asyncio.create_task(ask(worker, "hang", blob, call=call))
            await until(lambda: pool.busy_pids and worker.service.line.running)
            [pid] = pool.busy_pids
            await asyncio.sleep(0.01)
            deleting = worker.client.delete(f"/v1/jobs/{call}", headers=BEARER)
            answer = await asyncio.wait_for(deleting, LONG_S / 2)
            assert answer.json()["state"] == "cancelled"
            assert not alive(pid) or pid in pool.idle_pids  # killed, or stopped by itself
            assert problem(await asking) == "cancelled"
            assert worker.service.line.running == 0

    run(test)


def test_memory_cap_ends_one_task() -> None:
    async def test(worker: InProcess) -> None:
        blob = await send(worker, make_photo())
        answer = await ask(worker, "hog", blob)
        assert problem(answer) == "detector_failed" and "memory" in answer.json()["detail"]
        await until(lambda: worker.service.pool.died == 1)  # it may have been left half-way
        await still_works(worker, blob)

    run(test)


def test_foreign_error_keeps_its_text() -> None:
    async def test(worker: InProcess) -> None:
        blob = await send(worker, make_photo())
        await until(lambda: worker.service.pool.live == 2)
        answer = await ask(worker, "wrong", blob)
        assert problem(answer) == "detector_failed"
        assert "RuntimeError" in answer.text and "secret" not in answer.text
        pids = worker.service.pool.idle_pids
        await still_works(worker, blob)
        assert worker.service.pool.idle_pids == pids  # it lived on

    run(test)


def test_library_that_prints_does_not_break_the_pipe() -> None:
    async def test(worker: InProcess) -> None:
        blob = await send(worker, make_photo())
        assert (await ask(worker, "noisy", blob)).status_code == 200

    run(test)


def test_child_that_talks_nonsense_is_killed() -> None:
    async def test(worker: InProcess) -> None:
        blob = await send(worker, make_photo())
        answer = await ask(worker, "liar", blob)
        assert problem(answer) == "worker_crashed"
        await still_works(worker, blob)

    run(test)


def test_forged_answers_end_the_child_and_nothing_else() -> None:
    """A child that a picture took over says what it likes: the server must stay sound."""

    async def test(worker: InProcess) -> None:
        blob = await send(worker, make_photo())
        for name in (
            "no_number", "negative", "lost_seconds", "no_pixels", "text_pixels", "many_pixels",
            "other_task", "more_fields", "no_picture",
        ):  # fmt: skip
            died = worker.service.pool.died
            assert problem(await ask(worker, name, blob)) == "worker_crashed", name
            await until(lambda before=died: worker.service.pool.died == before + 1)
        await still_works(worker, blob)
        found = await worker.client.get("/v1/capabilities", headers=BEARER)
        assert found.status_code == 200 and "NaN" not in found.text

    run(test)


def test_flood_of_stages_ends_the_child() -> None:
    async def test(worker: InProcess) -> None:
        blob = await send(worker, make_photo())
        form = {"photo_sha256": blob, "parts": [{"detector": "flood", "resolution": 64}]}
        made = await worker.client.post("/v1/jobs", json=form, headers=BEARER)
        job = worker.service.jobs.find(made.json()["id"])
        await until(lambda: job.ended_at is not None)
        assert job.parts[0].problem and job.parts[0].problem.code == "worker_crashed"
        assert len(job.events) < 20
        await still_works(worker, blob)

    run(test)


READY = {
    "say": "ready",
    "pid": 1,
    "decode_s_per_mpixel": {"webp": 0.1, "raw": 0.0},
    "detectors": {
        "canny": {
            "title": "", "about": "", "polarity": "", "channels": 1, "bits": 8, "licence": "",
            "commercial": True, "prior_s_per_mpixel": 0.1, "state": "on disk",
            "params": {
                "low": {"type": "integer", "default": 1, "minimum": 0, "maximum": 9,
                        "description": ""}
            },
        }
    },
}  # fmt: skip


def changed(form: dict, path: str, value: object) -> dict:
    """The form with one value changed, at a path such as a.b."""
    key, _, rest = path.partition(".")
    return {**form, key: changed(form.get(key, {}), rest, value) if rest else value}


def test_ready_is_believed_field_by_field() -> None:
    told = read_ready(READY)
    assert told == {key: READY[key] for key in ("detectors", "decode_s_per_mpixel")}
    assert isinstance(told["detectors"]["canny"]["params"]["low"]["default"], int)
    for path, value in [
        ("pid", "1"), ("more", 1), ("detectors", []), ("detectors.Evil Name", {}),
        ("detectors.canny.state", "fine"), ("detectors.canny.channels", 4),
        ("detectors.canny.title", "x" * 5000), ("detectors.canny.prior_s_per_mpixel", float("nan")),
        ("detectors.canny.s_per_mpixel", -1.0), ("detectors.canny.params.low.default", "1"),
        ("detectors.canny.params.low.maximum", float("inf")),
        ("detectors.canny.params.low.type", "object"), ("decode_s_per_mpixel.webp", 1e9),
        ("decode_s_per_mpixel.other", 0.1),
    ]:  # fmt: skip
        with pytest.raises(BrokenPipe):
            read_ready(changed(READY, path, value))


SHORT_LIVED = """
import json, struct, sys
head = json.dumps({**json.loads(%r), "bytes": 0}).encode()
sys.stdout.buffer.write(struct.pack("!I", len(head)) + head)
"""


def test_children_that_end_after_getting_ready_are_started_ever_more_rarely(tmp_path: Path) -> None:
    program = tmp_path / "short_lived.py"
    program.write_text(SHORT_LIVED % json.dumps(READY))

    async def test(worker: InProcess) -> None:
        pool = worker.service.pool
        await until(lambda: pool._pause_s() >= 0.4)
        started = pool.started
        await asyncio.sleep(1.5)
        assert pool.started - started <= 4  # each of the two slots waits 0.4 s, 0.8 s, ...
        assert pool._pause_s() <= LONGEST_PAUSE_S

    run(test, Settings(token=TOKEN, child_program=program))


def test_child_that_forges_its_ready_is_not_taken(tmp_path: Path) -> None:
    program = tmp_path / "forger.py"
    program.write_text(SHORT_LIVED % json.dumps(changed(READY, "detectors.canny.state", "fine")))

    async def test() -> None:
        with pytest.raises(ChildDied, match="state"):
            await Child.start(Settings(child_program=program))

    asyncio.run(test())


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGSTOP])
def test_idle_child_killed_or_stopped_is_replaced(sign: signal.Signals) -> None:
    async def test(worker: InProcess) -> None:
        blob = await send(worker, make_photo())
        await until(lambda: worker.service.pool.live == 2)
        for pid in worker.service.pool.idle_pids:
            os.kill(pid, sign)
        await still_works(worker, blob)  # not accepted by the stopped ones within 5 s: killed
        await until(lambda: worker.service.pool.live == 2)

    run(test)


def test_queue_is_bounded_and_deadline_is_refused_at_once() -> None:
    settings = Settings(token=TOKEN, child_program=ODD_CHILD, queue_length=2, spare=False)

    async def test(worker: InProcess) -> None:
        blob = await send(worker, make_photo())
        assert (await ask(worker, "slow", blob)).status_code == 200  # now its price is known
        late = await ask(worker, "slow", blob, deadline_s=0.1)
        assert problem(late) == "deadline"
        answers = await asyncio.gather(*(ask(worker, "slow", blob) for _ in range(6)))
        codes = sorted(answer.status_code for answer in answers)
        assert codes.count(429) >= 3 and codes.count(200) >= 2
        full = next(answer for answer in answers if answer.status_code == 429)
        assert problem(full) == "queue_full" and int(full.headers["retry-after"]) >= 1

    run(test, settings)


def test_child_knows_no_secret() -> None:
    async def test(worker: InProcess) -> None:
        for pid in worker.service.pool.idle_pids:
            with open(f"/proc/{pid}/environ", "rb") as environ:
                assert TOKEN.encode() not in environ.read()
            with open(f"/proc/{pid}/limits") as limits:
                [row] = [line for line in limits if line.startswith("Max data size")]
            assert row.split()[3] == str(SETTINGS.child_memory_bytes)

    run(test)
