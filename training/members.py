"""The family's UNets: which layout each has, how its trained weights and its file are called."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..engine.sampling.family_files import UNET, unet_file
from .averages import averaged
from .libraries import UNet2DConditionModel
from .run import Setting, load_weights
from .unet import build_unet


@dataclass(frozen=True, slots=True)
class Member:
    """weights: their name in the trainer's folder."""

    layout: str
    weights: str
    file: str


def _compact(name: str, layout: str, weights: str) -> dict[str, Member]:
    return {name: Member(layout, weights, unet_file(name))}


UNETS = {
    "full": Member("full", "unet_full", UNET),
    **_compact("base", "base", "student_base"),
    **_compact("tiny", "tiny", "student_tiny"),
    **_compact("lcm", "base", "lcm"),
    **_compact("lcm-tiny", "tiny", "lcm_tiny"),
}
COMPARED = {  # what the recipe is measured against; no part of the family
    **_compact("lcm-direct", "base", "lcm_direct"),
    **_compact("lcm-self", "base", "lcm_self"),
}


def load_unet(setting: Setting, name: str = "full") -> UNet2DConditionModel:
    """A member's averaged weights in the trainer's folder, frozen."""
    member = (UNETS | COMPARED)[name]
    unet = build_unet(member.layout)
    unet.load_state_dict(averaged(load_weights(setting.weights(member.weights))[0]))
    return unet.eval().requires_grad_(False).to(setting.device, memory_format=torch.channels_last)
