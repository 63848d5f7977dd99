"""A diffusers UNet's keys read once: the same weights under LDM's names, and core's layout.

Core's own table assumes as many ResNets in every level; here every block counts, so compact and
assembled UNets come out right.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..errors import BadInput

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
OUTSIDE = {
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
}
NO_MIDDLE, RESNET_ALONE = -2, -1  # core's transformer_depth_middle


@dataclass(frozen=True, slots=True)
class UNetLayout:
    """How many ResNets and transformer layers stand where, in LDM's order of blocks."""

    channels: int
    context: int
    channel_mult: tuple[int, ...]
    resnets: tuple[int, ...]
    depth_in: tuple[int, ...]
    depth_middle: int
    depth_out: tuple[int, ...]
    linear: bool

    def config(self) -> dict[str, Any]:
        """Core's unet_config, as `detect_unet_config` would find it."""
        return {
            "use_checkpoint": False,
            "image_size": 32,
            "use_spatial_transformer": True,
            "legacy": False,
            "in_channels": 4,
            "out_channels": 4,
            "model_channels": self.channels,
            "num_res_blocks": list(self.resnets),
            "channel_mult": list(self.channel_mult),
            "transformer_depth": list(self.depth_in),
            "transformer_depth_middle": self.depth_middle,
            "transformer_depth_output": list(reversed(self.depth_out)),  # core pops from the end
            "context_dim": self.context,
            "use_linear_in_transformer": self.linear,
            "use_temporal_attention": False,
            "adm_in_channels": None,
        }


def is_diffusers(weights: Mapping[str, Tensor]) -> bool:
    return any(key.startswith("down_blocks.") for key in weights)


def to_ldm(weights: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], UNetLayout]:
    """The same tensors under LDM's names, and the layout that their names and shapes tell.

    Raises:
        BadInput: an SD1-shaped UNet has other keys, or an attention has no ResNet before it.
    """
    names = dict(OUTSIDE)
    down, depth_in = _down(weights, names)
    depth_middle = _middle(weights, names)
    depth_out = _up(weights, names)
    converted = _renamed(weights, names)
    try:
        first = weights["conv_in.weight"].shape[0]
        mult = tuple(
            weights[f"down_blocks.{level}.resnets.0.conv2.weight"].shape[0] // first
            for level in range(len(down))
        )
        cross = next(k for k in weights if k.endswith("attn2.to_k.weight"))
    except (KeyError, StopIteration) as error:
        raise BadInput("UNet", "keys without " + str(error), "give one of SD1.5's kind") from error
    linear = next(value for key, value in weights.items() if key.endswith("proj_in.weight"))
    return converted, UNetLayout(
        channels=first,
        context=weights[cross].shape[1],
        channel_mult=mult,
        resnets=tuple(down),
        depth_in=tuple(depth_in),
        depth_middle=depth_middle,
        depth_out=tuple(depth_out),
        linear=linear.ndim == 2,
    )


def control_to_ldm(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A diffusers ControlNet's tensors under LDM's names, which core's loader takes at any width.

    Core then assumes heads of width 64.
    Raises:
        BadInput: another key than an SD1-shaped ControlNet has.
    """
    names = dict(OUTSIDE)
    _down(weights, names)
    _middle(weights, names)
    names["controlnet_mid_block"] = "middle_block_out.0"
    for index in range(_count(weights, "controlnet_down_blocks")):
        names[f"controlnet_down_blocks.{index}"] = f"zero_convs.{index}.0"
    blocks = _count(weights, "controlnet_cond_embedding.blocks")
    convs = ("conv_in", *(f"blocks.{index}" for index in range(blocks)), "conv_out")
    for index, conv in enumerate(convs):  # an activation stands between two
        names[f"controlnet_cond_embedding.{conv}"] = f"input_hint_block.{2 * index}"
    return _renamed(weights, names)


def _renamed(weights: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    """Every key with the longest leading part that `names` knows replaced."""
    converted: dict[str, Tensor] = {}
    for key, value in weights.items():
        block, _, rest = key.rpartition(".")
        while block and block not in names:
            block, _, part = block.rpartition(".")
            rest = f"{part}.{rest}"
        if not block:
            raise BadInput("UNet key", key, "give a UNet of SD1.5's kind")
        converted[f"{names[block]}.{rest}"] = value
    return converted


def _down(weights: Mapping[str, Tensor], names: dict[str, str]) -> tuple[list[int], list[int]]:
    """Fill `names` of the down path; returns ResNets a level and depth of every ResNet's block."""
    resnets: list[int] = []
    depths: list[int] = []
    block = 1
    for level in range(_count(weights, "down_blocks")):
        prefix = f"down_blocks.{level}"
        resnets.append(_count(weights, f"{prefix}.resnets"))
        for index in range(resnets[-1]):
            depths.append(_pair(weights, names, prefix, index, f"input_blocks.{block}"))
            block += 1
        if _count(weights, f"{prefix}.downsamplers"):
            names[f"{prefix}.downsamplers.0.conv"] = f"input_blocks.{block}.0.op"
            block += 1
    return resnets, depths


def _middle(weights: Mapping[str, Tensor], names: dict[str, str]) -> int:
    resnets = _count(weights, "mid_block.resnets")
    if not resnets:
        return NO_MIDDLE
    depth = _pair(weights, names, "mid_block", 0, "middle_block")
    if resnets == 1:
        return RESNET_ALONE
    _resnet(names, "mid_block.resnets.1", "middle_block.2")
    return depth


def _up(weights: Mapping[str, Tensor], names: dict[str, str]) -> list[int]:
    depths: list[int] = []
    for level in range(_count(weights, "up_blocks")):
        prefix = f"up_blocks.{level}"
        for index in range(_count(weights, f"{prefix}.resnets")):
            depths.append(_pair(weights, names, prefix, index, f"output_blocks.{len(depths)}"))
        if _count(weights, f"{prefix}.upsamplers"):
            place = 2 if depths[-1] else 1
            names[f"{prefix}.upsamplers.0.conv"] = f"output_blocks.{len(depths) - 1}.{place}.conv"
    return depths


def _pair(
    weights: Mapping[str, Tensor], names: dict[str, str], prefix: str, index: int, block: str
) -> int:
    """A ResNet and, if there, the attention behind it; returns the attention's depth."""
    _resnet(names, f"{prefix}.resnets.{index}", f"{block}.0")
    depth = _count(weights, f"{prefix}.attentions.{index}.transformer_blocks")
    if depth:
        names[f"{prefix}.attentions.{index}"] = f"{block}.1"
    return depth


def _resnet(names: dict[str, str], source: str, target: str) -> None:
    for part, name in RESNET.items():
        names[f"{source}.{part}"] = f"{target}.{name}"


def _count(weights: Mapping[str, Tensor], prefix: str) -> int:
    """How many numbered parts follow `prefix`."""
    pattern = re.compile(re.escape(prefix) + r"\.(\d+)\.")
    numbers = {int(found[1]) for key in weights if (found := pattern.match(key))}
    return max(numbers) + 1 if numbers else 0
