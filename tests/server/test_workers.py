"""A worker that is there, away, and lost in the middle of a run."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import requests
from comfyui_tandem.engine.offload.payload_form import ProgressForm
from comfyui_tandem.engine.offload.workers import WorkerEntry, remove_worker
from comfyui_tandem.headless.graph import Graph, read_graph, the_node
from comfyui_tandem.headless.result import Event, Result
from comfyui_tandem.headless.server import free_port
from comfyui_tandem.headless.session import Session
from comfyui_tandem.headless.worker import WorkerProcess, register, registry
from PIL import Image

DEMO = Path(__file__).parents[1] / "graphs" / "multi_condition.json"


def chain(sizes: list[int], where: str = "auto", detector: str = "scribble") -> Graph:
    """A graph of conditions alone, one a size; the value at its end is the runner's summary."""
    graph: Graph = {
        "photo": {"class_type": "LoadImage", "inputs": {"image": "example.png"}},
        "edge": {"class_type": "TandemEdgeWorker", "inputs": {"worker": "auto"}},
        "plan": {"class_type": "TandemPlanOffload", "inputs": {"edge": ["edge", 0]}},
        "run": {"class_type": "TandemRunConditions", "inputs": {"plan": ["plan", 0]}},
        "save": {
            "class_type": "SaveImage",
            "inputs": {"images": ["run", 1], "filename_prefix": "t"},
        },
        "said": {"class_type": "ProbeValue", "inputs": {"value": ["run", 2]}},
    }
    for number, size in enumerate(sizes):
        inputs: dict[str, Any] = {
            "image": ["photo", 0],
            "detector": detector,
            "resolution": size,
            "strength": 1.0,
            "start_percent": 0.0,
            "end_percent": 1.0,
            "where": where,
        }
        if number:
            inputs["previous"] = [f"c{number - 1}", 0]
        graph[f"c{number}"] = {"class_type": "TandemCondition", "inputs": inputs}
    graph["plan"]["inputs"]["conditions"] = [f"c{len(sizes) - 1}", 0]
    return graph


def rows_of(result: Result) -> list[dict[str, Any]]:
    [plan] = result.outputs["run"]["tandem_plan"]
    return plan["rows"]


def pictures_of(session: Session, result: Result) -> list[bytes]:
    """Pixels of what was saved; the files hold the graph as well."""
    files = [session.api.view(image) for image in result.outputs["save"]["images"]]
    return [Image.open(io.BytesIO(file)).convert("RGB").tobytes() for file in files]


def test_worker_up(idle_comfy: Session, worker: WorkerProcess) -> None:
    result = idle_comfy.api.run(chain([256, 320], where="edge"))
    assert result.status == "success", result.error
    assert [(row["worker"], row["status"]) for row in rows_of(result)] == [("garage", "done")] * 2
    here = idle_comfy.api.run(chain([256, 320], where="this machine"))
    assert all(row["status"] == "done" for row in rows_of(here)), "made here, not taken from there"
    assert pictures_of(idle_comfy, here) == pictures_of(idle_comfy, result), "bit for bit"
    assert all(row["worker"] is None for row in rows_of(here))


def test_progress_is_told_while_the_lanes_run(idle_comfy: Session, worker: WorkerProcess) -> None:
    told: list[dict[str, Any]] = []
    bars: list[tuple[int, int]] = []

    def hear(event: Event) -> None:
        if event.kind == "tandem.progress":
            told.append(dict(event.data))
        if event.kind == "progress" and event.data["node"] == "run":
            bars.append((event.data["value"], event.data["max"]))

    graph = chain([512, 1024, 2048, 3072], where="edge")
    result = idle_comfy.api.run(graph, hear)
    assert result.status == "success", result.error
    assert len(told) > 1
    for news in told:
        assert (news.pop("node"), news.pop("prompt_id")) == ("run", result.prompt_id)
        ProgressForm.model_validate(news)
        assert [row["cond"] for row in news["rows"]] == [row["cond"] for row in rows_of(result)]
        assert {row["worker"] for row in news["rows"]} == {"garage"}
    assert told[0]["done"] < told[-1]["done"] == 4
    assert {row["state"] for row in told[-1]["rows"]} == {"done"}
    assert any("running" in {row["state"] for row in news["rows"]} for news in told)
    assert bars[-1] == (4, 4)


def test_other_nodes_run_while_the_lanes_do(idle_comfy: Session, worker: WorkerProcess) -> None:
    """As a model loads, say: here a chain that hangs on the plan, so that it cannot come before."""
    graph = chain([2048, 3072], where="edge")
    graph["between"] = {"class_type": "PrimitiveFloat", "inputs": {"value": ["plan", 1]}}
    graph["other"] = {"class_type": "ProbeValue", "inputs": {"value": ["between", 0]}}
    said: list[tuple[str, str]] = []
    result = idle_comfy.api.run(
        graph, lambda event: said.append((event.kind, str(event.data.get("node"))))
    )
    assert result.status == "success", result.error
    begun, other = said.index(("executing", "run")), said.index(("executed", "other"))
    assert begun < other < said.index(("executed", "run"))


def test_a_changed_strength_asks_the_worker_nothing(
    idle_comfy: Session, worker: WorkerProcess
) -> None:
    graph = chain([256, 320], where="edge")
    first = idle_comfy.api.run(graph)
    assert first.status == "success", first.error
    asked = detected(worker)
    assert asked == 2
    graph["c0"]["inputs"]["strength"] = graph["c1"]["inputs"]["strength"] = 0.25
    second = idle_comfy.api.run(graph)
    assert second.status == "success", second.error
    assert {"c0", "c1", "plan", "run"} <= set(second.executed)
    assert [row["status"] for row in rows_of(second)] == ["cached", "cached"]
    assert pictures_of(idle_comfy, second) == pictures_of(idle_comfy, first)
    assert detected(worker) == asked


def detected(worker: WorkerProcess) -> int:
    """Hints of graphs that a worker has made since its start, as it counts them."""
    head = {"Authorization": f"Bearer {worker.entry.secret()}"}
    text = requests.get(f"{worker.entry.url}/v1/metrics", headers=head, timeout=60).text
    asked = 'tandem_tasks_total{detector="scribble",'  # of graphs, not of probes of the link
    lines = [line for line in text.splitlines() if line.startswith(asked)]
    return sum(int(float(line.split()[-1])) for line in lines)


def test_token_shows_nowhere(idle_comfy: Session, worker: WorkerProcess) -> None:
    result = idle_comfy.api.run(chain([256], where="edge"))
    token = worker.entry.secret()
    assert token
    told = json.dumps([idle_comfy.api.history(result.prompt_id), idle_comfy.api.object_info()])
    logs = idle_comfy.server.child.log.read_text() + worker.child.log.read_text()
    assert token not in told and token not in logs


@pytest.fixture
def dead_worker(idle_comfy: Session) -> Any:
    """Registered, and not there."""
    entry = WorkerEntry("garage", f"http://127.0.0.1:{free_port()}", token="x" * 32)
    register(idle_comfy.user, entry)
    yield entry
    remove_worker(registry(idle_comfy.user), "garage")


def test_worker_down_finishes_here_and_says_so(idle_comfy: Session, dead_worker: Any) -> None:
    graph = read_graph(DEMO)
    result = idle_comfy.api.run(graph)
    assert result.status == "success", result.error
    [plan] = result.outputs[the_node(graph, "TandemRunConditions")]["tandem_plan"]
    assert all(row["worker"] is None for row in plan["rows"])
    assert any("garage" in note for note in plan["notes"])


def test_worker_down_and_condition_pinned_to_it(idle_comfy: Session, dead_worker: Any) -> None:
    result = idle_comfy.api.run(chain([256], where="edge"))
    assert result.status == "error"
    assert result.error and "garage" in result.error.message
    assert idle_comfy.api.run(chain([256])).status == "success", "the server goes on"


def test_worker_killed_in_the_middle(idle_comfy: Session, worker: WorkerProcess) -> None:
    graph = chain([1024 + 64 * n for n in range(8)])
    for number in range(4):  # so busy that whatever was measured before, the worker gets some
        graph[f"c{number}"]["inputs"]["where"] = "this machine"

    def kill(event: Event) -> None:
        if event.kind == "executing" and event.data["node"] == "run":
            worker.child.kill()

    result = idle_comfy.api.run(graph, kill)
    assert result.status == "success", result.error
    rows = rows_of(result)
    assert len(rows) == 8
    moved = [row for row in rows if row["status"] == "moved"]
    assert moved and all(row["worker"] is None for row in moved), "it says what was finished here"
    assert "garage" in result.outputs["said"]["value"][0]
    alone = idle_comfy.api.run(chain([1024 + 64 * n for n in range(8)], where="this machine"))
    assert pictures_of(idle_comfy, alone) == pictures_of(idle_comfy, result), "nothing is lost"


def test_interrupt_in_the_middle(idle_comfy: Session, worker: WorkerProcess) -> None:
    graph = chain([2048 + 64 * n for n in range(8)])
    interrupted: list[str] = []

    def interrupt(event: Event) -> None:
        if event.kind == "executing" and event.data["node"] == "run":
            idle_comfy.api.interrupt(event.data["prompt_id"])
            interrupted.append(event.data["prompt_id"])

    first, second = idle_comfy.api.queue(graph), idle_comfy.api.queue(chain([256]))
    result = idle_comfy.api.follow(first, interrupt)
    assert interrupted == [first]
    assert result.status == "interrupted"
    assert result.outputs.get("save") is None
    after = idle_comfy.api.follow(second)
    assert after.status == "success", "the queue goes on"
    again = idle_comfy.api.run(chain([256, 320], where="edge"))
    assert again.status == "success", "so does the worker"
