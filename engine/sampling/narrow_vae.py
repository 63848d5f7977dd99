"""A narrow SD1 autoencoder as a core VAE: zero-padded, with its own groups of channels.

Core normalises in 32 groups, so widths are multiples of 32; a narrow one with SD1's channels in
each group (4, 8, 16, 16) computes the same in a wider body whose other channels stay zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import comfy.sd
import torch
from comfy.ldm.models.autoencoder import AutoencoderKL
from torch import Tensor

from ..errors import BadInput

GROUPS = (4, 8, 16, 16)  # channels in a group at each level, SD1's 128/256/512/512 over 32
BODY: dict[str, Any] = {
    "double_z": True,
    "z_channels": 4,
    "resolution": 256,
    "in_channels": 3,
    "out_ch": 3,
    "ch": 32,
    "ch_mult": [1, 2, 3, 3],
    "num_res_blocks": 1,
    "attn_resolutions": [],
    "dropout": 0.0,
}


def build_narrow_vae(weights: Mapping[str, Tensor]) -> comfy.sd.VAE:
    """VAE from SD1's keys with one ResNet a level and widths up to 32/64/96/96.

    Raises:
        BadInput: keys or widths that do not fit into that body.
    """
    config = {"params": {"ddconfig": dict(BODY), "embed_dim": 4}}
    padded = _padded(weights, AutoencoderKL(**config["params"]).state_dict())
    vae = comfy.sd.VAE(sd=padded, config=config, dtype=torch.float32)
    body: torch.nn.Module = vae.first_stage_model  # pyright: ignore[reportAssignmentType]
    for name, module in body.named_modules():
        if isinstance(module, torch.nn.GroupNorm):
            module.num_groups = module.num_channels // GROUPS[_level(name)]
    return vae


def _padded(weights: Mapping[str, Tensor], body: Mapping[str, Tensor]) -> dict[str, Tensor]:
    strange = [key for key in weights if key not in body]
    if strange:
        raise BadInput("autoencoder", strange[:4], "give SD1's keys with one ResNet a level")
    padded: dict[str, Tensor] = {}
    for key, whole in body.items():
        part = weights.get(key)
        out = torch.zeros_like(whole)
        if part is not None:
            if any(small > large for small, large in zip(part.shape, whole.shape, strict=True)):
                raise BadInput(
                    f"width of {key}", tuple(part.shape), f"at most {tuple(whole.shape)}"
                )
            scale = 1.0
            if ".attn_1.q." in key:  # attention divides by the root of the width it sees
                scale = (whole.shape[0] / part.shape[0]) ** 0.5
            out[tuple(slice(0, size) for size in part.shape)] = scale * part.float()
        padded[key] = out
    return padded


def _level(name: str) -> int:
    """Level whose width the input of this normalisation has."""
    side, part, *rest = name.split(".")
    last = len(GROUPS) - 1
    if part == "mid":
        return last
    if part in ("down", "up"):
        level = int(rest[0])
        if rest[-1] == "norm1":  # its input comes from the level before
            return max(level - 1, 0) if side == "encoder" else min(level + 1, last)
        return level
    return last if side == "encoder" else 0
