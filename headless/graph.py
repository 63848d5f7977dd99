"""Graphs in ComfyUI's API form: reading one, finding its nodes, changing its inputs."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

from ..engine.errors import BadInput

Graph = dict[str, Any]


def read_graph(file: Path) -> Graph:
    """The graph of a file in API form.

    Raises:
        BadInput: it cannot be read, or is none; says so when it is the editor's form.
    """
    try:
        form = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise BadInput("graph", str(file), f"give a graph in API form, {error}") from error
    if not isinstance(form, dict) or "nodes" in form:
        do = "save it with 'Export (API)'; the editor's own form cannot be queued"
        raise BadInput("graph", file.name, do)
    return form


def nodes_of(graph: Graph, class_type: str) -> list[str]:
    """Ids of the nodes of that class, in the graph's order."""
    return [node for node, form in graph.items() if form["class_type"] == class_type]


def the_node(graph: Graph, class_type: str) -> str:
    """Id of its only node of that class.

    Raises:
        BadInput: there is none, or more than one.
    """
    found = nodes_of(graph, class_type)
    if len(found) != 1:
        raise BadInput(f"number of {class_type} nodes", len(found), "the graph needs just one")
    return found[0]


def with_inputs(graph: Graph, node: str, **inputs: Any) -> Graph:
    """A copy with other values at one node."""
    changed = deepcopy(graph)
    changed[node]["inputs"].update(inputs)
    return changed


def classes_of(graph: Graph) -> set[str]:
    """Class of every node in it."""
    return {form["class_type"] for form in graph.values()}
