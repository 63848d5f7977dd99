"""The demo's graph, sheet and report, without a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from comfyui_tandem.cli.demo_fast import beside, check_fast_files, fast_graph, sampled
from comfyui_tandem.cli.demo_queue import GRAPH as EXAMPLE
from comfyui_tandem.cli.demo_queue import condition_nodes, condition_titles, with_photo
from comfyui_tandem.cli.demo_report import report_of, report_text
from comfyui_tandem.cli.demo_sheet import Tile, contact_sheet
from comfyui_tandem.engine.errors import Unavailable
from comfyui_tandem.headless.graph import nodes_of, read_graph, the_node
from comfyui_tandem.headless.result import Result
from PIL import Image

GRAPH = {
    "1": {"class_type": "TandemRunConditions", "inputs": {}},
    "2": {"class_type": "TandemApplyConditions", "inputs": {}},
    "0": {"class_type": "TandemLoadCompactModel", "inputs": {"model": "mine"}},
    "3": {"class_type": "KSampler", "inputs": {"steps": 8}},
}
SPANS = [{"what": "0:canny", "lane": "demo", "kind": "run", "start_s": 0.0, "end_s": 0.1}]
PLAN: dict[str, Any] = {
    "v": 1,
    "predicted": {"makespan_s": 0.2, "spans": SPANS},
    "actual": {"makespan_s": 0.3, "spans": []},
    "baseline": {"all_local_s": 0.4, "all_edge_s": None},
    "rows": [
        {
            "cond": "0:canny",
            "worker": None,
            "status": "moved",
            "note": "worker demo: gone",
            "predicted_s": 0.1,
            "actual_s": 0.15,
        }
    ],
    "notes": [],
    "warnings": ["worker demo was lost"],
}
SCALES = {
    "v": 1,
    "rows": [{"cond": "0:canny", "scale": 0.0, "pruned": True, "reason": "strength 0"}],
}


def test_report_says_what_moved_and_what_was_pruned() -> None:
    outputs = {"1": {"tandem_plan": [PLAN]}, "2": {"tandem_scales": [SCALES]}}
    times = {"1": 0.3, "3": 7.0}
    result = Result("id", "success", outputs, ("1", "3"), (), 8.0, None, times)
    report = report_of(
        GRAPH,
        result,
        prompt="p",
        photo="f",
        machine={"device": "cpu"},
        total_s=20.0,
        files={},
        pinned=("0:canny", "pinned for show"),
    )
    [task] = report.subtasks
    assert (task.planned, task.ran, task.status) == ("worker demo", "this machine", "moved")
    text = report_text(report)
    assert task.note == "pinned for show; worker demo: gone"
    for part in ("worker demo: gone", "worker demo was lost", "left out: strength 0", "1 of 1"):
        assert part in text
    assert report.model == "mine" and "few dozen words" not in text
    assert "steps     8" in text and "0.150 s" in text
    assert report.as_dict()["plan"] == PLAN


def test_a_photo_takes_the_place_of_the_scene_and_lines_that_of_what_only_it_knows() -> None:
    before = read_graph(EXAMPLE)
    graph = with_photo(before, "mine.png")
    [loader] = nodes_of(graph, "LoadImage")
    assert graph[loader]["inputs"] == {"image": "mine.png"}
    assert nodes_of(graph, "TandemDemoScene") == []
    edges, lines = (graph[node]["inputs"] for node in condition_nodes(graph))
    assert (edges["detector"], lines["detector"]) == ("canny", "lineart_standard")
    assert edges["image"] == lines["image"] == [loader, 0]
    assert edges["control_net"] == lines["control_net"]
    assert condition_titles(graph) == ["canny", "lines"]
    assert condition_titles(before) == ["canny", "depth", "pose"]
    assert before == read_graph(EXAMPLE), "the graph that was given is as it was"


def test_sheet_holds_every_picture(tmp_path: Path) -> None:
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)]
    tiles: list[Tile] = []
    for number, (colour, size) in enumerate(
        zip(colours, [(300, 200), (200, 300), (9000, 30), (1, 1)], strict=True)
    ):
        file = tmp_path / f"{number}.png"
        Image.new("RGB", size, colour).save(file)
        tiles.append(Tile(file, "a title " * 40, "note"))
    sheet = np.asarray(contact_sheet(tiles, "title", "note"))
    assert sheet.shape[1] <= 1500
    for colour in colours:
        assert (sheet == colour).all(-1).sum() > 300, colour


def test_the_fast_graph_differs_in_models_and_sampling_alone() -> None:
    before = read_graph(EXAMPLE)
    graph = fast_graph(before)
    assert before == read_graph(EXAMPLE), "the graph that was given is as it was"
    [lcm] = graph.keys() - before.keys()
    assert graph[lcm]["class_type"] == "TandemLCM"
    assert graph[lcm]["inputs"]["model"] == [the_node(graph, "TandemLoadCompactModel"), 0]
    changed = {
        f"{graph[node]['class_type']}.{key}": value
        for node in before
        for key, value in graph[node]["inputs"].items()
        if value != before[node]["inputs"][key]
    }
    assert changed == {
        "TandemLoadCompactModel.model": "demo-lcm",
        "ControlNetLoader.control_net_name": "tandem_demo_compact_pose.safetensors",
        "KSampler.model": [lcm, 0],
        "KSampler.steps": 4,
        "KSampler.cfg": 1.0,
        "KSampler.sampler_name": "lcm",
        "KSampler.scheduler": "simple",
    }
    nets = {
        graph[node]["inputs"]["control_net_name"] for node in nodes_of(graph, "ControlNetLoader")
    }
    assert nets == {f"tandem_demo_compact_{kind}.safetensors" for kind in ("edge", "depth", "pose")}


def test_missing_members_are_named_with_what_makes_them(tmp_path: Path) -> None:
    graph = fast_graph(read_graph(EXAMPLE))
    (tmp_path / "controlnet").mkdir()
    for kind in ("edge", "depth"):
        (tmp_path / "controlnet" / f"tandem_demo_compact_{kind}.safetensors").touch()
    with pytest.raises(Unavailable) as refused:
        check_fast_files(graph, tmp_path)
    told = str(refused.value)
    for part in ("unet_lcm.safetensors", "compact_pose", "train STAGE", "distill-base, lcm, "):
        assert part in told
    assert "compact-control-pose, export" in told and "compact-control-edge" not in told
    (tmp_path / "unet_lcm.safetensors").touch()
    (tmp_path / "controlnet" / "tandem_demo_compact_pose.safetensors").touch()
    check_fast_files(graph, tmp_path)


def test_calls_and_times_stand_side_by_side() -> None:
    normal = read_graph(EXAMPLE)
    rows = [{"cond": "0:canny", "pruned": False}, {"cond": "1:ready", "pruned": True}]
    runs = [
        sampled(
            name,
            graph,
            Result(
                "id", "success",
                {the_node(graph, "TandemApplyConditions"): {"tandem_scales": [{"rows": rows}]}},
                (), (), 9.0, None, {the_node(graph, "KSampler"): seconds},
            ),
        )
        for name, graph, seconds in (("normal", normal, 8.0), ("fast", fast_graph(normal), 0.5))
    ]  # fmt: skip
    shown = {line[:20].strip(): line[20:].split("  ") for line in beside(runs)}
    cells = {key: [cell.strip() for cell in line if cell.strip()] for key, line in shown.items()}
    assert cells["model"] == ["demo", "demo-lcm"]
    assert cells["UNet calls"] == ["20 x 2", "4 x 1"]
    assert cells["ControlNet calls"] == ["20 x 2", "4 x 1"]
    assert cells["sampler"] == ["8.00 s", "0.50 s"]
