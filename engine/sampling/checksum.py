"""Whether two networks have the same weights, in whatever precision each of them is held."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import torch
from torch import Tensor

HELD = {"fp16": torch.float16, "bf16": torch.bfloat16}  # no rounding of one is in the other


def weights_crc32(weights: Mapping[str, Tensor], precision: str = "fp16") -> int:
    """Of the values in 16 bits, in the order of their names.

    Args:
        precision: of `HELD`; what was rounded to it before has the same.
    """
    found = 0
    for name in sorted(weights):
        value = weights[name].detach().to(HELD[precision]).cpu().contiguous()
        found = zlib.crc32(value.view(torch.int16).numpy().data, found)
    return found


def coarsest(weights: Mapping[str, Tensor]) -> str:
    """What to compare these by with others: "fp16", or what bfloat16 has left of them."""
    held = {value.dtype for value in weights.values()}
    return "bf16" if torch.bfloat16 in held else "fp16"
