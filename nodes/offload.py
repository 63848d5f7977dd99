"""Where conditions run: workers to use, the plan, and its execution."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, cast

import torch
from comfy.model_management import get_free_memory
from comfy_api.latest import io, ui

from ..engine.conditions import Condition
from ..engine.errors import BadInput, TandemError
from ..engine.offload import (
    Costs,
    KeptHints,
    Offload,
    WorkerEntry,
    offload_payload,
    plan_conditions,
    read_workers,
    run_lanes,
)
from ..engine.offload.offload import BANDWIDTH
from ..engine.offload.profile_file import OwnProfiles
from ..engine.offload.workers import FILE_NAME
from .checks import check_choice
from .model_folders import user_folder
from .progress import lane_progress
from .show import json_safe
from .sockets import Conditions, Edge, Hints, Plan, Profiles
from .waiting import wait_for

if TYPE_CHECKING:
    from ..engine.offload import Profile

AUTO = "auto"
SET_UP = "`python scripts/tandem.py workers add` in the pack's folder"  # in every install


@cache
def costs() -> Costs:
    """What this process has learnt about lanes; one for all nodes."""
    return Costs()


@cache
def own_profiles() -> OwnProfiles:
    """What was measured and learnt before, in the user's folder."""
    return OwnProfiles(user_folder())


@cache
def kept_hints() -> KeptHints:
    """The hints of earlier runs; one for all nodes."""
    return KeptHints()


def aliases() -> list[str]:
    """Workers to choose from. A broken registry costs the list, not the editor its nodes."""
    try:
        return list(read_workers(user_folder()))
    except TandemError as error:
        logging.warning("Tandem: %s", error)
        return []


def find_workers(edge: tuple[str, ...]) -> list[WorkerEntry]:
    """The entries of these aliases, as the registry has them now."""
    known = read_workers(user_folder())
    for alias in edge:
        if alias not in known:
            do = f"choose {', '.join([AUTO, *known])}, or set it up with {SET_UP}"
            raise BadInput("worker", alias, do)
    return [known[alias] for alias in edge]


def with_known_workers(plan: Offload) -> Offload:
    """The plan with the workers' addresses and tokens of now: it may have been cached for long."""
    known = read_workers(user_folder())
    return replace(plan, workers=tuple(known.get(one.alias, one) for one in plan.workers))


class EdgeWorker(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="TandemEdgeWorker",
            display_name="Edge Worker",
            category="Tandem/offload",
            description="Names the workers that Plan Offload may use. Chain several.",
            inputs=[
                io.Combo.Input(
                    "worker",
                    options=[AUTO, *aliases()],
                    default=AUTO,
                    tooltip=f"auto: all that are set up with {SET_UP}. A new worker "
                    "appears after Refresh Node Definitions (R).",
                ),
                Edge.Input("previous", optional=True, tooltip="Further workers."),
            ],
            outputs=[Edge.Output("edge", "edge")],
        )

    @classmethod
    def fingerprint_inputs(cls, worker: str, previous: None = None) -> tuple[str, ...]:
        return tuple(sorted(aliases()))

    @classmethod
    def execute(cls, worker: str, previous: tuple[str, ...] = ()) -> io.NodeOutput:
        named = read_workers(user_folder()) if worker == AUTO else (worker,)
        if not named:
            logging.info("Tandem: no worker in %s; all runs here", user_folder() / FILE_NAME)
        find_workers(tuple(named))
        return io.NodeOutput(tuple(dict.fromkeys((*previous, *named))))


class PlanOffload(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="TandemPlanOffload",
            display_name="Plan Offload",
            category="Tandem/offload",
            description="Decides which conditions run here and which on a worker, and in which "
            "order, so that the last hint is ready soonest.",
            inputs=[
                Conditions.Input("conditions", tooltip="Chain of Condition nodes."),
                Edge.Input(
                    "edge", optional=True, tooltip="Workers to use. Without it, all runs here."
                ),
                Profiles.Input(
                    "profiles",
                    optional=True,
                    tooltip="Plan these lanes by a Device Profile instead of by their own figures.",
                ),
                io.Combo.Input(
                    "bandwidth",
                    options=list(BANDWIDTH),
                    default="full",
                    optional=True,
                    tooltip="full: one transfer at a time at the link's full rate, in the planned "
                    "order; never slower. shares: all at once, each condition at a fixed share.",
                ),
            ],
            outputs=[
                Plan.Output("plan", "plan"),
                io.Float.Output("makespan_s", "makespan (s)"),
                io.String.Output("summary", "summary"),
            ],
        )

    @classmethod
    async def execute(
        cls,
        conditions: tuple[Condition, ...],
        edge: tuple[str, ...] = (),
        profiles: dict[str, Profile] | None = None,
        bandwidth: str = "full",
    ) -> io.NodeOutput:
        check_choice("bandwidth", bandwidth, BANDWIDTH)
        own_profiles().teach(costs())
        workers = find_workers(edge)

        def work(report: Callable[[None], None], cancelled: threading.Event) -> Offload:
            known = costs(), kept_hints()
            room = cast("int", get_free_memory(torch.device("cpu")))  # alone, without a second
            return plan_conditions(conditions, workers, *known, profiles, bandwidth, room)

        offload = await wait_for(work, lambda _: None)  # workers may be slow to answer
        payload = {"tandem_plan": [json_safe(offload_payload(offload, None))]}
        return io.NodeOutput(offload, offload.plan.makespan_s, offload.summary, ui=payload)


class RunConditions(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="TandemRunConditions",
            display_name="Run Conditions",
            category="Tandem/offload",
            description="Runs the planned detectors, here and on the workers at the same time. "
            "What a lost worker leaves undone is finished here.",
            inputs=[Plan.Input("plan", tooltip="From Plan Offload.")],
            outputs=[
                Hints.Output("hints", "hints"),
                io.Image.Output("hint_images", "hint images", is_output_list=True),
                io.String.Output("summary", "summary"),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    async def execute(cls, plan: Offload) -> io.NodeOutput:
        from ..engine.control import hint_image

        plan = with_known_workers(plan)
        show = lane_progress(cls.hidden.unique_id, len(plan.conditions))
        outcome = await wait_for(
            lambda report, cancelled: run_lanes(
                plan, costs(), kept_hints(), report=report, cancelled=cancelled
            ),
            show,
        )
        own_profiles().learn(costs())
        doubts = tuple(line for hint in outcome.hints for line in hint.doubts)
        outcome = replace(outcome, warnings=(*outcome.warnings, *doubts))
        images = [hint_image(hint.pictures, hint.condition.masks) for hint in outcome.hints]
        shown = [
            saved
            for image in images
            for saved in ui.PreviewImage(image, cls=cls).as_dict()["images"]
        ]
        payload = json_safe(offload_payload(plan, outcome))
        return io.NodeOutput(
            outcome.hints,
            images,
            outcome.summary,
            ui={"images": shown, "tandem_plan": [payload]},
        )
