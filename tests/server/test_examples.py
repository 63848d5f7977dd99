"""Each example graph runs in a real ComfyUI, and again without computing anything."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from comfyui_tandem.engine.offload.payload_form import PlanForm
from comfyui_tandem.engine.scaling.payload import ScalesForm
from comfyui_tandem.headless.graph import Graph, classes_of, read_graph
from comfyui_tandem.headless.result import Result
from comfyui_tandem.headless.session import Session
from comfyui_tandem.headless.worker import WorkerProcess
from PIL import Image

GRAPHS = sorted((Path(__file__).parents[1] / "graphs").glob("*.json"))
every_example = pytest.mark.parametrize("file", GRAPHS, ids=[file.stem for file in GRAPHS])


def check_outputs(session: Session, graph: Graph, result: Result) -> None:
    assert result.status == "success", result.error
    savers = {node for node, form in graph.items() if form["class_type"] == "SaveImage"}
    assert savers
    for node in savers:
        images = result.outputs[node]["images"]
        assert images
        for image in images:
            pixels = np.asarray(Image.open(io.BytesIO(session.api.view(image))).convert("RGB"))
            assert min(pixels.shape[:2]) >= 64
            assert pixels.std() > 1, "the picture is empty"
    entry = session.api.history(result.prompt_id)
    assert entry is not None
    assert entry["status"]["completed"] and entry["outputs"].keys() == result.outputs.keys()


def check_cached(again: Result, before: Result) -> None:
    """Nothing was computed; the nodes that save show the same files."""
    assert again.status == "success", again.error
    assert again.executed == ()
    assert again.outputs and again.outputs.items() <= before.outputs.items()


@every_example
def test_example_runs_and_is_cached(idle_comfy: Session, worker: WorkerProcess, file: Path) -> None:
    graph = read_graph(file)
    result = idle_comfy.api.run(graph)
    check_outputs(idle_comfy, graph, result)
    assert set(result.executed) | set(result.cached) == set(graph)
    again = idle_comfy.api.run(graph)
    check_cached(again, result)
    shown = [form for form in result.outputs.values() if "tandem_plan" in form]
    assert shown or not classes_of(graph) & {"TandemRunConditions", "TandemPlanOffload"}
    for form in shown:
        [plan] = form["tandem_plan"]
        PlanForm.model_validate(plan)
        assert plan["predicted"]["makespan_s"] > 0


def test_fast_sampler_shows_when_each_condition_acts(
    idle_comfy: Session, worker: WorkerProcess
) -> None:
    [file] = [file for file in GRAPHS if file.stem == "compact_lcm"]
    graph = read_graph(file)
    [node] = [name for name, form in graph.items() if form["class_type"] == "TandemFastSampler"]
    graph[node]["inputs"]["seed"] = 2  # not the one that is cached
    result = idle_comfy.api.run(graph)
    [shown] = result.outputs[node]["tandem_steps"]
    steps = [1, 2, 3, 4]
    assert shown == {
        "v": 1,
        "steps": 4,
        "rows": [
            {"cond": cond, "steps": steps, "reason": None}
            for cond in ("0:canny", "1:ready", "2:ready")
        ],
    }


def test_scales_that_a_run_measured_are_in_the_history(
    idle_comfy: Session, worker: WorkerProcess
) -> None:
    [file] = [file for file in GRAPHS if file.stem == "measured_scales"]
    graph = read_graph(file)
    nodes = {form["class_type"]: name for name, form in graph.items()}
    result = idle_comfy.api.run(graph)
    entry = idle_comfy.api.history(result.prompt_id)
    assert entry is not None
    shown = {
        name: ScalesForm.model_validate(entry["outputs"][nodes[name]]["tandem_scales"][0]).rows
        for name in ("TandemApplyConditions", "TandemEstimateScales", "TandemReport")
    }
    assert [row.contribution for row in shown["TandemApplyConditions"]] == [None] * 3
    measured = shown["TandemReport"]
    assert [row.cond for row in measured] == ["0:canny", "1:ready", "2:scribble"]
    edges = sorted((measured[0], measured[2]), key=lambda row: row.pruned)
    assert [row.pruned for row in edges] == [False, True] and not measured[1].pruned
    assert [row.calls for row in edges] == [20, 2] and measured[1].calls == 20
    assert edges[1].reason is not None and f"by {edges[0].cond}" in edges[1].reason
    before = shown["TandemEstimateScales"]
    assert [row.pruned for row in before] == [row.pruned for row in measured]
    again = idle_comfy.api.run(graph)
    assert again.executed == ()
    assert again.outputs[nodes["TandemReport"]] == result.outputs[nodes["TandemReport"]]


@pytest.mark.parametrize("cache", [("--cache-lru", "40"), ("--cache-none",)], ids=lambda c: c[0])
def test_second_run_in_other_cache_modes(
    open_comfy: Callable[..., Session],
    open_worker: Callable[[Session], WorkerProcess],
    cache: tuple[str, ...],
) -> None:
    session = open_comfy(*cache)
    open_worker(session)
    for file in GRAPHS:
        graph = read_graph(file)
        first, second = session.api.run(graph), session.api.run(graph)
        check_outputs(session, graph, first)
        if cache == ("--cache-none",):
            assert sorted(second.executed) == sorted(graph), "each node once a run"
            check_outputs(session, graph, second)
        else:
            check_cached(second, first)
