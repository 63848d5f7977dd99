"""Whatever the OpenAPI document allows, and what it does not: never a mistake of the worker."""

from __future__ import annotations

import hashlib
import random
from collections import Counter

import pytest
import requests
import schemathesis
from comfyui_tandem.engine.wire.codecs import encode_photo
from comfyui_tandem.engine.wire.problems import CODES, PROBLEM_TYPE
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode

from .conftest import BEARER, FORMULAS, TOKEN, Running, make_photo

CASES = 84  # for each of the 12 operations, with and without token: 1,000 in all
IN_ORDER = {"deadline", "draining", "no_device"}  # 5xx that are no mistakes; draining never here


def operations(running: Running) -> dict[str, object]:
    schema = schemathesis.openapi.from_url(f"{running.url}/openapi.json", headers=BEARER)
    found = [result.ok() for result in schema.get_all_operations()]
    return {operation.label: operation for operation in found}


def known_photo(running: Running) -> str:
    data = encode_photo(make_photo().pixels, "webp")
    blob = hashlib.sha256(data).hexdigest()
    url = f"{running.url}/v1/blobs/{blob}"
    requests.put(url, data=data, headers=BEARER, timeout=60).raise_for_status()
    return blob


def aim(case: Case, blob: str, jobs: list[str]) -> None:
    """Point two of three cases at what is there: random names alone never reach a child."""
    chance = random.Random(repr((case.path_parameters, case.body)))
    if chance.random() < 1 / 3:
        return
    detector, places = chance.choice(FORMULAS), case.path_parameters or {}
    if "name" in places:
        places["name"] = detector
    if "job" in places and jobs:
        places["job"] = chance.choice(jobs)
    if isinstance(case.body, dict):
        if "photo_sha256" in case.body:
            case.body["photo_sha256"] = blob
        if chance.random() < 2 / 3:
            case.body.pop("params", None)
        parts = case.body.get("parts")
        for part in parts if isinstance(parts, list) else []:
            if isinstance(part, dict):
                part["detector"] = detector
                part.pop("params", None)
                _shrink(part)
        _shrink(case.body)


def _shrink(form: dict[str, object]) -> None:
    """The fuzz is of forms: a large hint only takes longer."""
    if isinstance(size := form.get("resolution"), int) and size > 128:
        form["resolution"] = 128
    elif "detector" in form:
        form.setdefault("resolution", 64)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("token", ["right", "none"])
def test_no_request_makes_the_worker_err(running: Running, token: str) -> None:
    statuses: Counter[int] = Counter()
    reached: Counter[str] = Counter()
    jobs: list[str] = []
    blob = known_photo(running)

    def check(case: Case) -> None:
        kept = {key: value for key, value in (case.headers or {}).items() if key != "Authorization"}
        case.headers = {**kept, **(BEARER if token == "right" else {})}
        aim(case, blob, jobs)
        answer = case.call(timeout=60)
        statuses[answer.status_code] += 1
        if answer.status_code in (200, 202):
            reached[f"{case.method} {case.path}"] += 1
            if case.path == "/v1/jobs":
                jobs.append(answer.json()["id"])
        assert TOKEN.encode() not in answer.content
        if answer.status_code >= 400 and case.method != "HEAD":
            seen = (case.method, case.formatted_path, answer.status_code, answer.text)
            assert answer.headers["content-type"] == [PROBLEM_TYPE], seen
            form = answer.json()
            assert CODES[form["code"]][0] == answer.status_code == form["status"]
            assert answer.status_code < 500 or form["code"] in IN_ORDER, form
        if token == "none" and not case.path.startswith("/v1/health"):
            assert answer.status_code in (401, 413, 415, 429), answer.text

    for operation in operations(running).values():
        both = [operation.as_strategy(generation_mode=mode) for mode in GenerationMode]  # type: ignore[attr-defined]
        run = given(case=st.one_of(both))(lambda case: check(case))
        run = settings(
            max_examples=CASES,
            deadline=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
            database=None,
        )(run)
        seed(4)(run)()
    assert sum(statuses.values()) >= 8 * CASES
    if token == "right":  # children worked, and jobs were made, shown and cancelled
        for way in (
            "POST /v1/preprocess/{name}", "POST /v1/jobs", "GET /v1/jobs/{job}",
            "DELETE /v1/jobs/{job}",
        ):  # fmt: skip
            assert reached[way], reached
    assert requests.get(f"{running.url}/v1/health/ready", timeout=60).status_code == 200


def test_document_names_every_route_and_its_problems(running: Running) -> None:
    document = requests.get(f"{running.url}/openapi.json", headers=BEARER, timeout=60).json()
    paths = document["paths"]
    assert {f"{method.upper()} {path}" for path in paths for method in paths[path]} == {
        "GET /v1/health/live", "GET /v1/health/ready", "GET /v1/capabilities", "GET /v1/metrics",
        "HEAD /v1/blobs/{blob}", "PUT /v1/blobs/{blob}", "POST /v1/preprocess/{name}",
        "POST /v1/jobs", "GET /v1/jobs/{job}", "GET /v1/jobs/{job}/result/{part}",
        "GET /v1/jobs/{job}/events", "DELETE /v1/jobs/{job}",
    }  # fmt: skip
    for ways in document["paths"].values():
        for way in ways.values():
            assert PROBLEM_TYPE in way["responses"]["401"]["content"]
            assert way["description"]
