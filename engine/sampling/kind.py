"""Whether a UNet is of SD1.5's kind, told by names and shapes alone; what it is if it is not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import comfy.model_detection as detection
from torch import Tensor

from ..errors import BadInput

FIRST = ("conv_in.weight", "input_blocks.0.0.weight")  # in diffusers and in LDM keys
VECTOR = ("add_embedding.", "class_embedding.", "label_emb.")  # a second condition, as SDXL's
CHANNELS = 4


def check_kind(weights: Mapping[str, Tensor]) -> None:
    """Let UNets of SD1.5's and SD2's kind pass; tensors of the meta device do.

    Raises:
        BadInput: a model of another family, or a UNet that takes more than a latent.
    """
    first = next((weights[key] for key in FIRST if key in weights), None)
    vector = any(key.startswith(VECTOR) for key in weights)
    if first is None or vector:
        seen = family_of(weights) or ("SDXL-shaped" if vector else sorted(weights)[:3])
        raise BadInput(
            "kind of model",
            seen,
            "use Load Checkpoint or Load Diffusion Model; only SD1.5's and SD2's kind opens here",
        )
    if first.shape[1] != CHANNELS:
        raise BadInput(
            "input channels",
            first.shape[1],
            f"give a UNet with {CHANNELS}; models for inpainting and editing open elsewhere",
        )


def family_of(weights: Mapping[str, Tensor]) -> str | None:
    """Core's name for the family, if core knows it."""
    try:
        known = _known(dict(weights))
    except (KeyError, IndexError):  # it looks like one, and lacks what core asks for next
        return None
    return None if known is None else type(known).__name__


def _known(weights: dict[str, Tensor]) -> Any:
    """Core's config for them; it takes keys out."""
    known = detection.model_config_from_unet(weights, "")
    if known is None and "conv_in.weight" in weights:
        known = detection.model_config_from_diffusers_unet(weights)
    if known is None and (converted := detection.convert_diffusers_mmdit(weights, "")):
        known = detection.model_config_from_unet(converted, "")
    return known
