"""From ComfyUI's messages and history to a result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from comfyui_tandem.engine.errors import BadInput
from comfyui_tandem.headless.graph import nodes_of, read_graph, the_node, with_inputs
from comfyui_tandem.headless.result import Event, result_of

EVENTS = [
    (10.0, Event("execution_cached", {"nodes": ["1", "2"]})),
    (10.5, Event("executing", {"node": "3"})),
    (12.5, Event("executing", {"node": "4"})),
    (13.0, Event("executing", {"node": None})),
]


def entry(status: str, *messages: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    return {"outputs": {}, "status": {"status_str": status, "messages": [*map(list, messages)]}}


def test_success() -> None:
    result = result_of("id", entry("success", ("execution_success", {})), EVENTS, 3.0)
    assert (result.status, result.executed, result.cached) == ("success", ("3", "4"), ("1", "2"))
    assert result.node_seconds == {"3": 2.0, "4": 0.5}


def test_error_names_the_node() -> None:
    told = {
        "node_id": "3",
        "node_type": "TandemCondition",
        "exception_type": "BadInput",
        "exception_message": "strength is nan\n",
    }
    result = result_of("id", entry("error", ("execution_error", told)), EVENTS, 3.0)
    assert result.status == "error"
    assert str(result.error) == "TandemCondition (node 3): strength is nan"


def test_interrupted_is_no_error() -> None:
    result = result_of("id", entry("error", ("execution_interrupted", {})), [], 3.0)
    assert (result.status, result.error, result.executed) == ("interrupted", None, ())


def test_graph_in_the_editors_form_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "graph.json"
    file.write_text(json.dumps({"nodes": [], "links": []}))
    with pytest.raises(BadInput, match="Export"):
        read_graph(file)
    with pytest.raises(BadInput, match="give a graph"):
        read_graph(tmp_path / "none.json")


def test_graph_is_changed_in_a_copy() -> None:
    graph = {
        "1": {"class_type": "A", "inputs": {"x": 1}},
        "2": {"class_type": "B", "inputs": {}},
        "3": {"class_type": "B", "inputs": {}},
    }
    changed = with_inputs(graph, "1", x=2)
    assert (graph["1"]["inputs"]["x"], changed["1"]["inputs"]["x"]) == (1, 2)
    assert the_node(graph, "A") == "1" and nodes_of(graph, "B") == ["2", "3"]
    with pytest.raises(BadInput, match="number of B nodes is 2"):
        the_node(graph, "B")
