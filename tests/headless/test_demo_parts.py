"""The demo's graph, sheet and report, without a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from comfyui_tandem.cli.demo_queue import GRAPH as EXAMPLE
from comfyui_tandem.cli.demo_queue import condition_nodes, condition_titles, with_photo
from comfyui_tandem.cli.demo_report import report_of, report_text
from comfyui_tandem.cli.demo_sheet import Tile, contact_sheet
from comfyui_tandem.headless.graph import nodes_of, read_graph
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
