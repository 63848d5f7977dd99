"""What to detect: requests, chained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import folder_paths
import torch
from comfy_api.latest import io

from ..engine.conditions import (
    PLACES,
    Condition,
    ConditionRequest,
    Options,
    find_detector,
    guess_detectors,
    is_pooled,
    obstacle,
    reads,
)
from ..engine.errors import BadInput
from .checks import check_choice
from .detector_choice import (
    detector_names,
    detector_tip,
    how_inputs,
    masks_of,
    options_input,
    params_of,
    resolution_input,
    what_inputs,
)
from .pictures import photos_of
from .sockets import Conditions

GUESS = "from the file name"


def bound_inputs() -> list[Any]:
    """How strong, when, and where."""
    return [
        io.Float.Input(
            "strength",
            default=1.0,
            min=0.0,
            max=10.0,
            step=0.01,
            tooltip="How strongly it acts. An estimated scale is above it only by what it carries "
            "for conditions that are left out. 0 makes the hint and leaves the ControlNet out.",
        ),
        io.Float.Input(
            "start_percent",
            default=0.0,
            min=0.0,
            max=1.0,
            step=0.001,
            tooltip="Share of the steps before the ControlNet acts.",
        ),
        io.Float.Input(
            "end_percent",
            default=1.0,
            min=0.0,
            max=1.0,
            step=0.001,
            tooltip="Share of the steps after which it stops.",
        ),
        io.Combo.Input(
            "where",
            options=list(PLACES),
            default="auto",
            tooltip="auto: wherever it is ready soonest. this machine: the photo stays "
            "here. edge: on a worker, or not at all.",
        ),
    ]


def chain_input() -> Any:
    return Conditions.Input(
        "previous", optional=True, tooltip="The chain so far; this one comes last."
    )


def control_net_input() -> Any:
    return io.Combo.Input(
        "control_net_name",
        options=folder_paths.get_filename_list("controlnet"),
        tooltip="Put ControlNets into models/controlnet.",
    )


def applied_net_input() -> Any:
    return io.ControlNet.Input(
        "control_net",
        optional=True,
        tooltip="Follows the hint in Apply Conditions. Without it, the hint alone.",
    )


@dataclass(frozen=True, slots=True)
class Bounds:
    """What those inputs say."""

    strength: float
    start: float
    end: float
    where: str

    def request(self, detector: str, resolution: int, params: dict[str, float]) -> ConditionRequest:
        return ConditionRequest(
            detector, resolution, params, self.strength, self.start, self.end, self.where
        )


class MakeCondition(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="TandemCondition",
            display_name="Condition",
            category="Tandem/conditions",
            description="Asks for one condition: a detector on a photo, and the ControlNet that "
            "follows its hint. Chain several; nothing runs before Run Conditions.",
            inputs=[
                *what_inputs(),
                *bound_inputs(),
                applied_net_input(),
                chain_input(),
                *how_inputs(),
            ],
            outputs=[Conditions.Output("conditions", "conditions")],
        )

    @classmethod
    def execute(
        cls,
        image: torch.Tensor,
        detector: str,
        resolution: int,
        strength: float,
        start_percent: float,
        end_percent: float,
        where: str,
        control_net: Any = None,
        previous: tuple[Condition, ...] = (),
        options: Options | None = None,
        mask: torch.Tensor | None = None,
    ) -> io.NodeOutput:
        bounds = Bounds(strength, start_percent, end_percent, where)
        request = bounds.request(detector, resolution, params_of(detector, options))
        condition = Condition(request, photos_of(image), control_net, masks_of(detector, mask))
        return io.NodeOutput((*previous, condition))


class ConditionOfHint(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="TandemConditionOfHint",
            display_name="Condition (of a hint)",
            category="Tandem/conditions",
            description="One more condition out of a hint that is made anyway: normals of a depth "
            "hint, without a second network. It waits for that hint, wherever it is made.",
            inputs=[
                Conditions.Input(
                    "previous",
                    tooltip="The chain so far. Of its hints the last that fits is looked at.",
                ),
                io.Combo.Input("detector", options=readers(), tooltip=detector_tip(readers())),
                resolution_input(),
                *bound_inputs(),
                applied_net_input(),
                options_input(),
            ],
            outputs=[Conditions.Output("conditions", "conditions")],
        )

    @classmethod
    def execute(
        cls,
        previous: tuple[Condition, ...],
        detector: str,
        resolution: int,
        strength: float,
        start_percent: float,
        end_percent: float,
        where: str,
        control_net: Any = None,
        options: Options | None = None,
    ) -> io.NodeOutput:
        check_choice("detector", detector, readers())
        bounds = Bounds(strength, start_percent, end_percent, where)
        request = bounds.request(detector, resolution, params_of(detector, options))
        source = next((one for one in reversed(previous) if reads(detector, one)), None)
        if source is None:
            seen = ", ".join(one.request.detector for one in previous)
            do = f"chain a condition before it whose hint says: {find_detector(detector).reads}"
            raise BadInput(f"hint for {detector}", seen, do)
        made = Condition(request, (), control_net, source=source)
        return io.NodeOutput((*previous, made))


def readers() -> list[str]:
    """Detectors that look at a hint."""
    return [name for name in detector_names() if find_detector(name).reads]


class ConditionFromFile(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="TandemConditionFromFile",
            display_name="Condition (from file)",
            category="Tandem/conditions",
            description="Condition and ControlNet loader in one: the detector is guessed from the "
            "ControlNet's file name, and yours to change.",
            inputs=[
                *what_inputs(guess=GUESS, before=[control_net_input()]),
                *bound_inputs(),
                chain_input(),
                *how_inputs(),
            ],
            outputs=[
                Conditions.Output("conditions", "conditions"),
                io.String.Output("summary", "summary"),
            ],
        )

    @classmethod
    def execute(
        cls,
        image: torch.Tensor,
        control_net_name: str,
        detector: str,
        resolution: int,
        strength: float,
        start_percent: float,
        end_percent: float,
        where: str,
        previous: tuple[Condition, ...] = (),
        options: Options | None = None,
        mask: torch.Tensor | None = None,
    ) -> io.NodeOutput:
        from comfy.controlnet import load_controlnet

        check_choice("detector", detector, [GUESS, *detector_names()])
        name = guessed(control_net_name) if detector == GUESS else detector
        net = load_controlnet(folder_paths.get_full_path_or_raise("controlnet", control_net_name))
        if net is None:
            raise BadInput("ControlNet", control_net_name, "choose a file that is one")
        params, masks = params_of(name, options), masks_of(name, mask)
        bounds = Bounds(strength, start_percent, end_percent, where)
        made = Condition(bounds.request(name, resolution, params), photos_of(image), net, masks)
        told = [f"detector {name}" + (", guessed from the file name" if detector == GUESS else "")]
        if name == "shuffle" and not is_pooled(control_net_name):
            told.append("a shuffle ControlNet works only if its file name ends in _shuffle")
        return io.NodeOutput((*previous, made), "\n".join(f"- {line}" for line in told))


def guessed(file_name: str) -> str:
    """The first detector that fits a file's name and can run here, else the first.

    Raises:
        BadInput: the name tells nothing.
    """
    fitting = guess_detectors(file_name)
    if not fitting:
        raise BadInput("detector", f"no guess for {file_name}", "choose it yourself")
    return next((name for name in fitting if obstacle(name) is None), fitting[0])
