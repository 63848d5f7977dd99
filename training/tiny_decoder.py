"""A decoder of TAESD's layout (madebyollin/taesd), whose widths ComfyUI fixes.

The family's own decoder is narrower still and cheaper; this one is here because real models'
are not, and everything that is done with a tiny decoder shall be tried on the family too.
"""

from __future__ import annotations

from torch import Tensor

from .libraries import DecoderTiny

PREFIX = "layers."


def build_tiny_decoder() -> DecoderTiny:
    """Latents [N, 4, h, w] of unit variance to pictures [N, 3, 8 h, 8 w], about -1..1."""
    return DecoderTiny(
        in_channels=4,
        out_channels=3,
        num_blocks=(3, 3, 3, 1),
        block_out_channels=(64,) * 4,
        upsampling_scaling_factor=2,
        act_fn="relu",
        upsample_fn="nearest",
    )


def to_taesd(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """diffusers' keys as TAESD's file has them: there the clamp is a layer of its own."""
    found: dict[str, Tensor] = {}
    for key, value in weights.items():
        index, rest = key.removeprefix(PREFIX).split(".", 1)
        found[f"{int(index) + 1}.{rest}"] = value
    return found


def from_taesd(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The way back."""
    found: dict[str, Tensor] = {}
    for key, value in weights.items():
        index, rest = key.split(".", 1)
        found[f"{PREFIX}{int(index) - 1}.{rest}"] = value
    return found
