"""What saved workflows rely on: node ids, inputs, types and their order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from comfyui_tandem.headless.graph import classes_of, read_graph
from comfyui_tandem.headless.session import Session

SNAPSHOT = Path(__file__).parent / "nodes.json"
GRAPHS = sorted((Path(__file__).parents[1] / "graphs").glob("*.json"))
ROOM = "custom_nodes.comfyui-tandem"


@pytest.fixture(scope="module")
def nodes(comfy: Session) -> dict[str, Any]:
    known = comfy.api.object_info()
    return {node: form for node, form in known.items() if form["python_module"] == ROOM}


def contract(form: dict[str, Any]) -> dict[str, Any]:
    """The part of a node's description that a saved workflow depends on."""
    inputs = [
        f"{name}: {kind_of(form['input'][need][name])} ({need})"
        for need, names in form["input_order"].items()
        if need != "hidden"
        for name in names
    ]
    outputs = [
        f"{name}: {kind}{' (list)' if is_list else ''}"
        for name, kind, is_list in zip(
            form["output_name"], form["output"], form["output_is_list"], strict=True
        )
    ]
    return {
        "display_name": form["display_name"],
        "category": form["category"],
        "inputs": inputs,
        "outputs": outputs,
    }


def kind_of(entry: list[Any]) -> str:
    """Type of an input; older ComfyUI puts a combo's options in its place."""
    return "COMBO" if isinstance(entry[0], list) else entry[0]


def test_nodes_are_those_of_the_snapshot(nodes: dict[str, Any], tmp_path: Path) -> None:
    found = {node: contract(form) for node, form in sorted(nodes.items())}
    written = tmp_path / "nodes.json"
    written.write_text(json.dumps(found, indent=2) + "\n")
    wanted = json.loads(SNAPSHOT.read_text())
    assert found == wanted, f"if this is meant, copy {written} to {SNAPSHOT}"
    assert all(node.startswith("Tandem") for node in found)


def test_every_node_is_used_by_an_example(nodes: dict[str, Any]) -> None:
    used = set[str]().union(*(classes_of(read_graph(file)) for file in GRAPHS))
    assert set(nodes) - used == set()


def test_every_socket_explains_itself(nodes: dict[str, Any]) -> None:
    for node, form in nodes.items():
        assert form["description"], node
        for group in (form["input"].get("required", {}), form["input"].get("optional", {})):
            for name, entry in group.items():
                assert entry[1].get("tooltip"), f"{node}.{name}"


def test_server_says_nothing_bad_about_the_pack(comfy: Session, nodes: dict[str, Any]) -> None:
    assert nodes
    said = comfy.server.child.log.read_text()
    bad = ("IMPORT FAILED", "Error while calling comfy_entrypoint", "Cannot import")
    lines = (line for line in said.splitlines() if "tandem" in line)
    assert [line for line in lines if any(sign in line for sign in bad)] == []
