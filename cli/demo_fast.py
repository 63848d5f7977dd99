"""The demo's second run: the few-step compact model and its ControlNets, beside the normal one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..engine.commands import command
from ..engine.errors import Unavailable
from ..engine.sampling.family_files import CONTROL_NETS, control_file, unet_file
from ..headless.graph import Graph, nodes_of, the_node, with_inputs
from ..headless.pack import ROOT
from ..headless.result import Result
from ..training.stages import KINDS

FAMILY = ROOT / "demo_models"
MEMBER, STEPS, GUIDANCE = "lcm", 4, 8.0  # guidance: of models that have none in their weights
LOADER, NET_LOADER, SAMPLER = "TandemLoadCompactModel", "ControlNetLoader", "KSampler"
COMPACT = {control_file(kind): control_file(kind, compact=True) for kind in KINDS}
MADE_BY = {control_file(kind, compact=True): f"compact-control-{kind}" for kind in KINDS}


def fast_graph(graph: Graph) -> Graph:
    """The same graph with a compact UNet and compact ControlNets, four LCM steps without CFG."""
    loader, sampler = the_node(graph, LOADER), the_node(graph, SAMPLER)
    changed = with_inputs(graph, loader, model=f"demo-{MEMBER}")
    for node in nodes_of(graph, NET_LOADER):
        name = graph[node]["inputs"]["control_net_name"]
        changed = with_inputs(changed, node, control_net_name=COMPACT[name])
    lcm = str(max(map(int, graph)) + 1)
    changed[lcm] = {
        "class_type": "TandemLCM",
        "inputs": {"model": [loader, 0], "steps": STEPS, "guidance": GUIDANCE},
        "_meta": {"title": "LCM"},
    }
    return with_inputs(
        changed,
        sampler,
        model=[lcm, 0],
        steps=STEPS,
        cfg=1.0,
        sampler_name="lcm",
        scheduler="simple",
    )


def check_fast_files(graph: Graph, family: Path = FAMILY) -> None:
    """Before anything is started.

    Args:
        graph: of `fast_graph`.
    Raises:
        Unavailable: members of the family are not there; says what makes them.
    """
    nets = [graph[node]["inputs"]["control_net_name"] for node in nodes_of(graph, NET_LOADER)]
    wanted = {family / unet_file(MEMBER): ["distill-base", MEMBER]}
    wanted |= {family / CONTROL_NETS / net: ["distill-base", MADE_BY[net]] for net in nets}
    missing = {path: stages for path, stages in wanted.items() if not path.is_file()}
    if missing:
        needed = dict.fromkeys(stage for stages in missing.values() for stage in stages)
        stages = ", ".join(["adopt", "latents", *needed, "export"])
        do = (
            f"run `{command('train STAGE --folder DIR')}` for the stages {stages}, and copy "
            f"DIR/demo_models over {family.name}"
        )
        raise Unavailable("files for --fast", [path.name for path in missing], do)


@dataclass(frozen=True, slots=True)
class Sampled:
    """How one run sampled; calls by its steps, each of `batch` pictures: two with CFG."""

    name: str
    model: str
    steps: int
    cfg: float
    batch: int
    unet_calls: int
    control_calls: int
    sampler_s: float | None
    run_s: float


def sampled(name: str, graph: Graph, result: Result) -> Sampled:
    """Of a run whose conditions act on all steps, by a sampler that calls the model once a step."""
    inputs = graph[the_node(graph, SAMPLER)]["inputs"]
    [scales] = result.outputs[the_node(graph, "TandemApplyConditions")]["tandem_scales"]
    acting = sum(1 for row in scales["rows"] if not row["pruned"])
    return Sampled(
        name=name,
        model=graph[the_node(graph, LOADER)]["inputs"]["model"],
        steps=inputs["steps"],
        cfg=inputs["cfg"],
        batch=1 if inputs["cfg"] == 1 else 2,
        unet_calls=inputs["steps"],
        control_calls=inputs["steps"] * acting,
        sampler_s=(result.node_seconds or {}).get(the_node(graph, SAMPLER)),
        run_s=result.seconds,
    )


def beside(runs: Sequence[Sampled]) -> list[str]:
    """Lines of the report: a column a run."""
    rows: dict[str, list[str]] = {
        "sampling": [run.name for run in runs],
        "model": [run.model for run in runs],
        "steps, CFG": [f"{run.steps}, {run.cfg:g}" for run in runs],
        "UNet calls": [f"{run.unet_calls} x {run.batch}" for run in runs],
        "ControlNet calls": [f"{run.control_calls} x {run.batch}" for run in runs],
        "sampler": ["-" if r.sampler_s is None else f"{r.sampler_s:.2f} s" for r in runs],
        "whole graph": [f"{run.run_s:.2f} s" for run in runs],
    }
    lines = [f"{key:<20}" + "".join(f"{cell:>14}" for cell in cells) for key, cells in rows.items()]
    return [*lines, "one run each, of a tiny model: no measure of real ones"]
