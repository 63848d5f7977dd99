"""The family's UNet layouts, a start from which noise prediction learns fast, and growth.

Source of the names Base, Small and Tiny: BK-SDM, arXiv 2305.15798.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .libraries import UNet2DConditionModel

WIDTH, HEAD, CONTEXT, LATENT_SIDE = 64, 64, 128, 16
LAYOUTS = ("stem", "base", "full")  # in the order of growth
IDENTITY = 8  # channels that carry +x and -x of the four latent channels
PLAIN_DOWN, CROSS_DOWN = "DownBlock2D", "CrossAttnDownBlock2D"
PLAIN_UP, CROSS_UP = "UpBlock2D", "CrossAttnUpBlock2D"


def build_unet(layout: str, widths: tuple[int, ...] = (WIDTH,) * 4) -> UNet2DConditionModel:
    """`full`: SD1.5's blocks; `base`: one ResNet a level; `stem`: and no attention in level 0.

    `small`: base without the middle; `tiny`: three levels, without the middle.
    """
    blocks = blocks_of(layout)
    levels = len(blocks["down_block_types"])
    return UNet2DConditionModel(
        sample_size=LATENT_SIDE,
        block_out_channels=widths[:levels],
        attention_head_dim=[width // HEAD for width in widths[:levels]],  # a number of heads
        cross_attention_dim=CONTEXT,
        norm_num_groups=32,
        **blocks,
    )


def blocks_of(layout: str) -> dict[str, Any]:
    """A layout as diffusers' options."""
    down = [CROSS_DOWN] * 3 + [PLAIN_DOWN]
    if layout == "stem":
        down[0] = PLAIN_DOWN
    if layout == "tiny":
        down = down[:3]
    options: dict[str, Any] = {
        "down_block_types": tuple(down),
        "up_block_types": tuple(
            PLAIN_UP if name == PLAIN_DOWN else CROSS_UP for name in reversed(down)
        ),
        "layers_per_block": 2 if layout == "full" else 1,
    }
    if layout in ("small", "tiny"):
        options["mid_block_type"] = None
    return options


@torch.no_grad()
def start_as_identity(unet: UNet2DConditionModel) -> UNet2DConditionModel:
    """Fill in place so that the output is the input: the right guess at high noise.

    `conv_in` writes pairs (x, -x); the outermost skip carries them to the last ResNet, whose
    shortcut selects them; what else writes there is quiet; `conv_out` reads the pairs.
    """
    conv, last = unet.conv_in, unet.up_blocks[-1].resnets[-1]
    shortcut, out = last.conv_shortcut, unet.conv_out
    before = shortcut.weight.shape[1] - conv.weight.shape[0]
    for part in (conv, shortcut):
        part.weight[:IDENTITY] = 0
        part.bias[:IDENTITY] = 0
    last.conv2.weight[:IDENTITY] *= 0.05
    last.conv2.bias[:IDENTITY] = 0
    for attention in getattr(unet.up_blocks[-1], "attentions", None) or ():
        attention.proj_out.weight[:IDENTITY] *= 0.05
        attention.proj_out.bias[:IDENTITY] = 0
    out.weight.mul_(0.1)
    out.bias.zero_()
    out.weight[:, :IDENTITY] = 0
    for channel in range(4):
        plus, minus = 2 * channel, 2 * channel + 1
        conv.weight[plus, channel, 1, 1], conv.weight[minus, channel, 1, 1] = 1, -1
        out.weight[channel, plus, 1, 1], out.weight[channel, minus, 1, 1] = 1, -1
    for row in range(IDENTITY):
        shortcut.weight[row, before + row] = 1
    return unet


def grown(weights: dict[str, Tensor], fresh: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of the next layout that compute exactly what `weights` compute.

    `fresh` are new weights of the next layout. Stem to base: added attentions write nothing.
    Base to full, BK-SDM's rule backwards: the added pair of each level copies its neighbour but
    adds nothing; in the up path the old second pair becomes the third.
    """
    taller = {key: value.clone() for key, value in fresh.items()}
    if not any(".resnets.1." in key for key in fresh if key.startswith("down_blocks.")):
        for key, value in taller.items():
            if key in weights:
                value.copy_(weights[key])
            elif ".proj_out." in key:
                value.zero_()
        return taller
    for key, value in taller.items():
        source, added = _source(key)
        if added and _is_last(key):
            value.zero_()
        elif added and ".conv_shortcut." in key:
            value.zero_()
            if value.ndim > 1:
                rows = torch.arange(len(value))
                value[rows, rows] = 1
        elif source in weights:
            value.copy_(weights[source])
    return taller


def _source(key: str) -> tuple[str, bool]:
    """The base layout's key that full's `key` starts from, and whether its pair is an added one."""
    kinds = ("resnets", "attentions")
    if key.startswith("down_blocks."):
        for kind in kinds:
            if f".{kind}.1." in key:
                return key.replace(f".{kind}.1.", f".{kind}.0."), True
    if key.startswith("up_blocks."):
        for kind in kinds:
            if f".{kind}.1." in key:
                return key.replace(f".{kind}.1.", f".{kind}.0."), True
            if f".{kind}.2." in key:
                return key.replace(f".{kind}.2.", f".{kind}.1."), False
    return key, False


def _is_last(key: str) -> bool:
    return key.endswith((".conv2.weight", ".conv2.bias")) or ".proj_out." in key
