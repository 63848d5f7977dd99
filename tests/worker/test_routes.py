"""Routes and errors, in process."""

from __future__ import annotations

import asyncio
import hashlib
import json

import numpy as np
import pytest
from comfyui_tandem.edge_worker.settings import Settings
from comfyui_tandem.engine.conditions import DETECTORS, ConditionRequest, Photo, detect
from comfyui_tandem.engine.wire.codecs import decode_hint, encode_photo

from .conftest import BEARER, FORMULAS, TOKEN, InProcess, in_process, make_photo

SETTINGS = Settings(token=TOKEN, spare=False)


async def send(worker: InProcess, photo: Photo, codec: str = "webp") -> str:
    data = encode_photo(photo.pixels, codec)  # type: ignore[arg-type]
    blob = hashlib.sha256(data).hexdigest()
    answer = await worker.client.put(f"/v1/blobs/{blob}", content=data, headers=BEARER)
    assert answer.status_code == 201, answer.text
    return blob


def run(test) -> None:
    async def inner() -> None:
        async with in_process(SETTINGS) as worker:
            await test(worker)

    asyncio.run(inner())


def test_every_detector_answers_the_same_bits() -> None:
    async def test(worker: InProcess) -> None:
        photo = make_photo()
        for codec in ("webp", "raw"):
            blob = await send(worker, make_photo(), codec)
            for name in FORMULAS:
                wanted = {"photo_sha256": blob, "resolution": 256}
                answer = await worker.client.post(
                    f"/v1/preprocess/{name}", json=wanted, headers=BEARER
                )
                assert answer.status_code == 200, answer.text
                expected = detect(ConditionRequest(name, 256), photo)
                np.testing.assert_array_equal(decode_hint(answer.content, expected.shape), expected)
                timing = answer.headers["server-timing"]
                assert [part.split(";")[0] for part in timing.split(", ")] == [
                    "queue", "load", "decode", "compute", "encode",
                ]  # fmt: skip

    run(test)


def problem(answer) -> str:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    form = answer.json()
    assert set(form) == {"type", "title", "status", "detail", "code", "retryable"}
    assert form["status"] == answer.status_code
    assert TOKEN not in answer.text
    return form["code"]


GOOD = {"photo_sha256": "0" * 64}
CASES = [
    ("GET", "/v1/nothing", None, 404, "not_found"),
    ("GET", "/v1/preprocess/canny", None, 405, "wrong_method"),
    ("POST", "/v1/preprocess/canny", GOOD, 404, "unknown_blob"),
    ("POST", "/v1/preprocess/depth_of_despair", GOOD, 404, "unknown_detector"),
    ("POST", "/v1/preprocess/..%2f..%2fetc", GOOD, 404, "not_found"),
    ("POST", "/v1/preprocess/canny%00", GOOD, 404, "unknown_detector"),
    ("POST", "/v1/preprocess/\u00e4", GOOD, 404, "unknown_detector"),
    ("POST", "/v1/preprocess/canny", {}, 422, "bad_param"),
    ("POST", "/v1/preprocess/canny", [], 422, "bad_param"),
    ("POST", "/v1/preprocess/canny", {**GOOD, "unknown": 1}, 422, "bad_param"),
    ("POST", "/v1/preprocess/canny", {**GOOD, "resolution": 63}, 422, "bad_param"),
    ("POST", "/v1/preprocess/canny", {**GOOD, "resolution": 10**6}, 422, "bad_param"),
    ("POST", "/v1/preprocess/canny", {**GOOD, "resolution": "512"}, 422, "bad_param"),
    ("POST", "/v1/preprocess/canny", {**GOOD, "resolution": True}, 422, "bad_param"),
    ("POST", "/v1/preprocess/canny", {**GOOD, "params": {"low": 256}}, 422, "bad_param"),
    ("POST", "/v1/preprocess/canny", {**GOOD, "params": {"low": 1.5}}, 422, "bad_param"),
    ("POST", "/v1/preprocess/canny", {**GOOD, "params": {"no": 1}}, 422, "bad_param"),
    ("POST", "/v1/preprocess/canny", {**GOOD, "params": {"low": "\ud800"}}, 422, "bad_param"),
    ("POST", "/v1/preprocess/canny", {"photo_sha256": "G" * 64}, 422, "bad_param"),
    ("HEAD", "/v1/blobs/" + "0" * 64, None, 404, None),
    ("HEAD", "/v1/blobs/..%2f" + "0" * 64, None, 404, None),
    ("PUT", "/v1/blobs/" + "A" * 64, None, 422, "bad_param"),
    ("PUT", "/v1/blobs/" + "0" * 63, None, 422, "bad_param"),
    ("DELETE", "/v1/jobs/" + "0" * 32, None, 404, "unknown_job"),
    ("DELETE", "/v1/jobs/x", None, 422, "bad_param"),
]


def test_errors_have_one_form() -> None:
    async def test(worker: InProcess) -> None:
        for method, path, form, status, code in CASES:
            body = b"" if form is None else json.dumps(form).encode()
            headers = BEARER if form is None else {**BEARER, "Content-Type": "application/json"}
            answer = await worker.client.request(method, path, content=body, headers=headers)
            assert answer.status_code == status, (method, path, form, answer.text)
            if method != "HEAD":
                assert problem(answer) == code, (method, path, form, answer.text)

    run(test)


@pytest.mark.parametrize("path", ["/v1/capabilities", "/openapi.json", "/v1/nothing", "/"])
def test_everything_but_health_needs_the_token(path: str) -> None:
    async def test(worker: InProcess) -> None:
        for open_path in ("/v1/health/live", "/v1/health/ready"):
            assert (await worker.client.get(open_path)).status_code == 200
        assert problem(await worker.client.get(path)) == "no_token"
        for value in ("Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", "Bearer \u00e4"):
            headers = [(b"Authorization", value.encode("latin-1"))]
            assert problem(await worker.client.get(path, headers=headers)) == "bad_token", value

    run(test)


def test_capabilities_show_schema_and_measured_seconds() -> None:
    async def test(worker: InProcess) -> None:
        found = (await worker.client.get("/v1/capabilities", headers=BEARER)).json()
        assert set(found["detectors"]) == set(DETECTORS)
        for name, facts in found["detectors"].items():
            params = {param.name: param.schema() for param in DETECTORS[name].params}
            assert facts["params"] == params
            assert facts["state"] == "loaded" or name not in FORMULAS
            assert (facts["state"] == "missing") == ("missing" in facts)
            assert "/" not in facts.get("missing", "")  # no folder of the worker
            if facts["state"] == "loaded":
                assert facts["seconds"] is None and 0 < facts["seconds_per_mpixel"] < 60
        blob = await send(worker, make_photo())
        wanted = {"photo_sha256": blob}
        await worker.client.post("/v1/preprocess/canny", json=wanted, headers=BEARER)
        after = (await worker.client.get("/v1/capabilities", headers=BEARER)).json()
        assert after["detectors"]["canny"]["seconds"] > 0
        assert after["instance"] == found["instance"]

    run(test)


def test_blob_is_checked_and_kept_once() -> None:
    async def test(worker: InProcess) -> None:
        data = encode_photo(make_photo().pixels, "webp")
        blob = hashlib.sha256(data).hexdigest()
        url = f"/v1/blobs/{blob}"
        put = worker.client.put
        assert problem(await put(url, content=data + b"x", headers=BEARER)) == "bad_request"
        assert problem(await put(url, content=b"<svg" + data, headers=BEARER)) == "unsupported_type"
        assert problem(await put(url, content=b"RIFF", headers=BEARER)) == "unsupported_type"
        assert (await worker.client.head(url, headers=BEARER)).status_code == 404
        assert (await put(url, content=data, headers=BEARER)).status_code == 201
        assert (await put(url, content=data, headers=BEARER)).status_code == 200
        assert (await worker.client.head(url, headers=BEARER)).status_code == 200
        folder = worker.service.blobs.folder
        assert [path.name for path in folder.iterdir()] == [blob]
        assert folder.stat().st_mode & 0o077 == 0

    run(test)
