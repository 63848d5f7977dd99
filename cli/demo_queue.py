"""The demo's graph in ComfyUI's queue; a lost worker costs a second try, not the picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..engine.conditions import DETECTORS
from ..engine.errors import Unavailable
from ..headless.api import ComfyApi
from ..headless.graph import Graph, read_graph, the_node, with_inputs
from ..headless.pack import ROOT
from ..headless.result import Result
from .demo_progress import Stages

SCENE = "TandemDemoScene"
GRAPH = ROOT / "tests" / "graphs" / "multi_condition.json"
PINNED = "pinned to the worker by the demo, to show it at work"
LOST = ("Unavailable", "WorkerFailed")  # errors of the nodes that need the pinned worker
OFFLOADING = ("TandemPlanOffload", "TandemRunConditions")
LINES, LINES_STRENGTH = "lineart_standard", 0.3
READY = "ready"  # the detector of what is a hint already: it computes nothing


@dataclass(frozen=True, slots=True)
class Run:
    """A run that succeeded, and what the demo itself did to it."""

    graph: Graph
    result: Result
    pinned: str | None  # the condition that was pinned to the worker
    warnings: tuple[str, ...] = ()


def queue_example(api: ComfyApi, photo: Path | None, prompt: str | None, log: Path) -> Run:
    """Runs the example with its scene or this photo, one condition pinned to the worker.

    Raises:
        Unavailable: ComfyUI lacks our nodes, or the run failed, not for want of the worker.
    """
    graph = read_graph(GRAPH)
    missing = {form["class_type"] for form in graph.values()} - set(api.object_info())
    if missing:
        do = f"see {log} for why they did not load"
        raise Unavailable("nodes of the example", sorted(missing), do)
    if photo:
        graph = with_photo(graph, api.upload_image(photo, "tandem_demo_photo.png"))
    if prompt:
        graph = with_inputs(graph, prompt_node(graph), text=prompt)
    return _with_a_second_try(api, graph, log)


def queue_again(api: ComfyApi, graph: Graph, log: Path) -> Result:
    """Runs another graph of the same models and photo.

    Raises:
        Unavailable: it failed.
    """
    result = _run(api, graph)
    if result.status != "success":
        raise _failed(result, log)
    return result


def with_photo(graph: Graph, name: str) -> Graph:
    """The example with a photo in place of its scene, and lines in place of what the scene knows.

    Depth and pose of a photo take networks that the demo does not download.
    """
    scene, plan = the_node(graph, SCENE), the_node(graph, "TandemPlanOffload")
    chain = condition_nodes(graph)
    known = next(node for node in chain if graph[node]["inputs"]["detector"] == READY)
    net = graph[chain[0]]["inputs"]["control_net"]  # the edge net, which takes lines too
    changed = with_inputs(graph, plan, conditions=[known, 0])
    changed = with_inputs(
        changed, known, detector=LINES, image=[scene, 0], control_net=net, strength=LINES_STRENGTH
    )
    changed[known]["_meta"] = {"title": "Condition: lines"}
    changed[scene] = {"class_type": "LoadImage", "inputs": {"image": name}}
    return changed


def _with_a_second_try(api: ComfyApi, graph: Graph, log: Path) -> Run:
    name, node = _heaviest(graph)
    pinned = with_inputs(graph, node, where="edge")
    result = _run(api, pinned)
    if result.status == "success":
        return Run(pinned, result, name)
    if not _lost_worker(result):
        raise _failed(result, log)
    why = "The worker was lost, so the graph ran again with all conditions on auto"
    warning = f"{why}: {result.error}"
    print(warning, flush=True)
    return Run(graph, queue_again(api, graph, log), None, (warning,))


def _lost_worker(result: Result) -> bool:
    error = result.error
    if error is None or error.node_type not in OFFLOADING:
        return False
    return error.kind.rpartition(".")[2] in LOST


def _run(api: ComfyApi, graph: Graph) -> Result:
    stages = Stages(graph)
    try:
        return api.run(graph, stages)
    finally:
        stages.close()


def _failed(result: Result, log: Path) -> Unavailable:
    return Unavailable("result of the run", str(result.error or result.status), f"see {log}")


def _heaviest(graph: Graph) -> tuple[str, str]:
    """Name, as the report has it, and node of the condition that computes most."""
    chain = condition_nodes(graph)
    named = [(f"{n}:{graph[node]['inputs']['detector']}", node) for n, node in enumerate(chain)]
    return max(named, key=lambda one: DETECTORS[one[0].partition(":")[2]].seconds_per_mpixel)


def condition_nodes(graph: Graph) -> list[str]:
    """The chain's nodes in its order."""
    chain: list[str] = []
    link = graph[the_node(graph, "TandemPlanOffload")]["inputs"]["conditions"]
    while link:
        chain.insert(0, link[0])
        link = graph[link[0]]["inputs"].get("previous")
    return chain


def condition_titles(graph: Graph) -> list[str]:
    """What each condition of the chain steers by, as its node's title tells."""
    titles = [graph[node]["_meta"]["title"] for node in condition_nodes(graph)]
    return [title.removeprefix("Condition: ") for title in titles]


def prompt_node(graph: Graph) -> str:
    """The node whose text says what the picture shall show."""
    return graph[the_node(graph, "TandemApplyConditions")]["inputs"]["positive"][0]
