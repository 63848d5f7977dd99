"""What of a network becomes a graph: its inputs and outputs by name, and which axes are free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from torch import Tensor

from ..control.positions import OwnFeature, fit_of

LATENT, TIME, CONTEXT, HINT = "latent", "time", "context", "hint"
MIDDLE, RESIDUAL, NOISE, PICTURE = "middle", "residual", "noise", "picture"
BATCH, TOKENS = 2, 77  # of the input that a graph is traced with
HEIGHT, WIDTH = 16, 24
PIXELS = 8  # of a picture or hint for one of its latent's


@dataclass(frozen=True, slots=True)
class Graph:
    """A module to trace.

    example: by its name, every input of the module's forward, in order.
    outputs: names, in order.
    exact: beginnings of the names of weights that stay in 32 bits when others get 8: few, and what
        goes through them reaches the output without passing anything else.
    """

    module: torch.nn.Module
    example: Mapping[str, Tensor]
    outputs: tuple[str, ...]
    exact: tuple[str, ...] = ()

    def axes(self) -> dict[str, dict[int, str]]:
        """Free axes of each input: all but channels. Names are unequal, so that an input of zeros
        may be one pixel that is spread over the others."""
        return {
            name: {
                axis: f"{name}_{axis}"
                for axis in range(value.ndim)
                if axis != (value.ndim - 1 if name == CONTEXT else 1)
            }
            for name, value in self.example.items()
        }


def residual_name(index: int) -> str:
    return f"{RESIDUAL}_{index}"


class _UNet(torch.nn.Module):
    """Core's UNet with what ControlNets add as plain inputs."""

    def __init__(self, unet: UNetModel) -> None:
        super().__init__()
        self.unet = unet
        bare = unet.middle_block is None  # of another loader
        patch = {"input_block_patch_after_skip": [OwnFeature.of(unet)]}
        self.patches = {"patches": patch} if bare else {}

    def forward(
        self, latent: Tensor, time: Tensor, context: Tensor, middle: Tensor, *residuals: Tensor
    ) -> Tensor:
        control = {"middle": [middle], "output": list(residuals)}
        options = dict(self.patches)
        unet: Any = self.unet
        return unet._forward(latent, time, context, control=control, transformer_options=options)


def unet_graph(unet: UNetModel) -> Graph:
    """Latents [B, 4, h, w], times [B], context [B, T, C] -> noise [B, 4, h, w]; further inputs
    `middle`, `residual_0` ...: what ControlNets add, a residual an encoder output, [B, c, h', w'].

    Raises:
        BadInput: another kind of UNet than SD1.5's and SD2's.
    """
    fit_of(unet)  # refuses others
    shapes = encoder_shapes(unet, HEIGHT, WIDTH)
    added = {
        (residual_name(index) if index < len(shapes) else MIDDLE): torch.randn(BATCH, *shape)
        for index, shape in enumerate([*shapes, shapes[-1]])
    }
    example = {
        LATENT: torch.randn(BATCH, unet.in_channels, HEIGHT, WIDTH),
        TIME: torch.tensor([500.0, 20.0]),
        CONTEXT: torch.randn(BATCH, TOKENS, context_width(unet)),
        MIDDLE: added.pop(MIDDLE),
        **added,
    }
    last = len(unet.output_blocks) - 1
    # on the demo family these 13 thousand of 3 million weights make most of the error
    exact = ("input_blocks.0.", f"output_blocks.{last}.0.skip_connection.", "out.")
    return Graph(_UNet(unet), example, (NOISE,), tuple(f"unet.{name}" for name in exact))


def encoder_shapes(unet: Any, height: int, width: int) -> list[tuple[int, int, int]]:
    """Channels, height and width of every encoder output, of a latent of that size."""
    found = [(unet.model_channels, height, width)]
    for level, (mult, resnets) in enumerate(
        zip(unet.channel_mult, unet.num_res_blocks, strict=True)
    ):
        channels = unet.model_channels * mult
        found += [(channels, height, width)] * resnets
        if level < len(unet.channel_mult) - 1:
            height, width = -(-height // 2), -(-width // 2)
            found.append((channels, height, width))
    return found


def context_width(network: torch.nn.Module) -> int:
    """Channels of the prompt's encoding that its cross-attentions read."""
    keys = next(
        name for name, _ in network.named_parameters() if name.endswith("attn2.to_k.weight")
    )
    return network.get_parameter(keys).shape[1]
