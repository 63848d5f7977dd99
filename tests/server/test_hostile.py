"""Values that no editor sends: a clear error, and the server goes on."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import requests
from comfyui_tandem.headless.api import Refused
from comfyui_tandem.headless.graph import Graph, read_graph
from comfyui_tandem.headless.result import Result
from comfyui_tandem.headless.session import Session

CONDITION: dict[str, Any] = {
    "detector": "canny",
    "resolution": 64,
    "strength": 1.0,
    "start_percent": 0.0,
    "end_percent": 1.0,
    "where": "auto",
}


def small_graph(picture: str = "odd", worker: str = "auto", **condition: Any) -> Graph:
    given = {**CONDITION, **condition, "image": ["1", 0]}
    return {
        "1": {"class_type": "ProbePicture", "inputs": {"kind": picture}},
        "2": {"class_type": "TandemCondition", "inputs": given},
        "3": {"class_type": "TandemEdgeWorker", "inputs": {"worker": worker}},
        "4": {
            "class_type": "TandemPlanOffload",
            "inputs": {"conditions": ["2", 0], "edge": ["3", 0]},
        },
        "5": {"class_type": "TandemRunConditions", "inputs": {"plan": ["4", 0]}},
        "6": {"class_type": "ProbeValue", "inputs": {"value": ["5", 2]}},
        "7": {"class_type": "SaveImage", "inputs": {"images": ["5", 1], "filename_prefix": "t"}},
    }


def check_alive(session: Session) -> None:
    assert session.server.child.exit_code is None
    assert session.api.run(small_graph()).status == "success"
    assert requests.get(f"{session.url}/history", timeout=10).status_code == 200


def run_raw(session: Session, graph: Graph) -> Result | None:
    """Queues it as text, so that NaN passes; None when it was refused."""
    body = json.dumps({"prompt": graph, "client_id": "raw"})
    headers = {"Content-Type": "application/json"}
    url = f"{session.url}/prompt"
    response = requests.post(url, data=body, headers=headers, timeout=10)
    if response.status_code != 200:
        return None
    return session.api.follow(response.json()["prompt_id"])


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("strength", math.nan, "strength"),
        ("strength", math.inf, "strength"),
        ("end_percent", math.nan, "end"),
        ("start_percent", 1.0, "start"),
        ("resolution", 10**9, "resolution"),
        ("resolution", -1, "resolution"),
        ("detector", "../../etc/passwd", "detector"),
        ("detector", "<script>alert(1)</script>", "detector"),
        ("where", "http://169.254.169.254/", "where"),
    ],
)
def test_hostile_value(comfy: Session, name: str, value: Any, told: str) -> None:
    result = run_raw(comfy, small_graph(**{name: value}))
    if result is not None:  # refused by ComfyUI itself otherwise
        assert result.status == "error"
        assert result.error and told in result.error.message
    check_alive(comfy)


@pytest.mark.parametrize(
    "alias", ["http://127.0.0.1:1/", "../workers", "garage\nX: y", "", "local"]
)
def test_a_workflow_cannot_name_an_address(comfy: Session, alias: str) -> None:
    result = run_raw(comfy, small_graph(worker=alias))
    assert result is None or (result.status == "error" and result.error)
    check_alive(comfy)


@pytest.mark.parametrize(
    ("picture", "fine"),
    [
        ("nan", False),
        ("infinite", False),
        ("empty batch", False),
        ("two channels", False),
        ("one pixel", True),
        ("odd", True),
        ("three", True),
        ("with alpha", True),
        ("out of range", True),
    ],
)
@pytest.mark.parametrize("detector", ["canny", "tile"])
def test_strange_pictures(comfy: Session, picture: str, fine: bool, detector: str) -> None:
    result = comfy.api.run(small_graph(picture, detector=detector))
    assert (result.status == "success") == fine, result.error
    if not fine:
        assert result.error and "image" in result.error.message, "it names the input"
    check_alive(comfy)


@pytest.mark.parametrize("missing", ["image", "detector", "where"])
def test_missing_input_is_refused(comfy: Session, missing: str) -> None:
    graph = small_graph()
    del graph["2"]["inputs"][missing]
    with pytest.raises(Refused, match=missing):
        comfy.api.run(graph)
    check_alive(comfy)


def test_two_runs_keep_their_own_messages(comfy: Session) -> None:
    graph = read_graph(Path(__file__).parents[1] / "graphs" / "stock_apply_controlnet.json")
    first = comfy.api.queue(graph)
    second = comfy.api.queue(small_graph("three"))
    results = [comfy.api.follow(second), comfy.api.follow(first)]
    assert [result.status for result in results] == ["success", "success"]
