"""What nodes that name a detector share: the list, the folders of weights, options and masks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import folder_paths
import numpy as np
import torch
from comfy_api.latest import io
from numpy.typing import NDArray

from ..engine.conditions import Detector, Models, Options, find_detector, models, use_models
from ..engine.errors import BadInput
from .checks import check_choice
from .sockets import OptionsSocket

FOLDER = "tandem_detectors"  # the key in extra_model_paths.yaml
RESOLUTION_TIP = "Shorter side of the hint in pixels; best equal to the picture's."


def open_detectors() -> None:
    """Let this process find weights in ComfyUI's model folders; nothing is loaded."""
    folder_paths.add_model_folder_path(FOLDER, str(Path(folder_paths.models_dir, FOLDER)))
    use_models(Models([Path(path) for path in folder_paths.get_folder_paths(FOLDER)]))


def detector_names() -> list[str]:
    """The registry's, then those that JSON files in the model folders add."""
    return list(models().detectors)


def detector_tip(names: Sequence[str]) -> str:
    return "; ".join(_line(find_detector(name)) for name in names)


def _line(detector: Detector) -> str:
    limit = "" if detector.commercial else " Non-commercial."
    return f"{detector.name}: {detector.about}{limit}"


def what_inputs(*, guess: str = "", before: Sequence[Any] = ()) -> list[Any]:
    """Photo, detector, resolution: the first inputs of a node that names a detector.

    Args:
        guess: a further choice, the default, that leaves the detector to the node.
        before: inputs that stand between photo and detector.
    """
    names = detector_names()
    tip = detector_tip(names)
    return [
        io.Image.Input("image", tooltip="The photo. A batch gives one hint a picture."),
        *before,
        io.Combo.Input(
            "detector",
            options=[guess, *names] if guess else names,
            default=guess or "canny",
            tooltip=f"{guess}: the first that fits and can run here. {tip}" if guess else tip,
        ),
        resolution_input(),
    ]


def resolution_input() -> Any:
    return io.Int.Input("resolution", default=512, min=64, max=4096, step=8, tooltip=RESOLUTION_TIP)


def options_input() -> Any:
    return OptionsSocket.Input(
        "options", optional=True, tooltip="From an options node of the same kind."
    )


def how_inputs() -> list[Any]:
    """Options and mask: the last inputs of such a node."""
    return [
        options_input(),
        io.Mask.Input(
            "mask", optional=True, tooltip="Only for inpaint: what ControlNet is to fill in."
        ),
    ]


def params_of(name: str, options: Options | None) -> dict[str, float]:
    """The detector's parameters out of an options node's.

    Raises:
        BadInput: no such detector, or the options are for others.
    """
    check_choice("detector", name, detector_names())
    return {} if options is None else options.for_detector(find_detector(name))


def masks_of(name: str, mask: torch.Tensor | None) -> tuple[NDArray[np.float32], ...]:
    """One [H, W] a picture of the batch, for the detector that takes masks.

    Raises:
        BadInput: inpaint without a mask, a mask for another detector, another shape.
    """
    takes = find_detector(name).family == "inpaint"
    if mask is None:
        if takes:
            raise BadInput("mask", None, "connect the mask of what inpaint is to fill in")
        return ()
    if not takes:
        raise BadInput("mask", f"for {name}", "disconnect it: only inpaint takes one")
    if mask.ndim != 3 or 0 in mask.shape:
        raise BadInput("mask", tuple(mask.shape), "connect a MASK [batch, height, width]")
    return tuple(np.ascontiguousarray(one) for one in mask.float().cpu().numpy())
