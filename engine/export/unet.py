"""A UNet of SD1.5's kind as an ONNX file, and that file called like the UNet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from torch import Tensor

from ..errors import BadInput
from .graph import CONTEXT, LATENT, MIDDLE, RESIDUAL, TIME, unet_graph
from .network import OnnxNetwork
from .onnx_file import FP32, write_onnx


def export_unet(unet: UNetModel, file: Path, precision: str = FP32) -> None:
    """Write core's UNet, of any layout (`build_unet` makes it of diffusers' weights too).

    Args:
        precision: `fp32`, or `int8` for weights in 8 bits and all else in 32.
    Raises:
        BadInput: another kind of UNet than SD1.5's and SD2's, or another precision.
        Unavailable: the package `onnx` is not installed.
    """
    write_onnx(unet_graph(unet), {precision: file})


class OnnxUNet:
    """An exported UNet, and what ControlNets add to it.

    Raises:
        Unavailable, BadInput: as `OnnxNetwork`.
    """

    def __init__(self, file: Path) -> None:
        self.network = OnnxNetwork(file)
        shapes = self.network.shapes
        if not {LATENT, TIME, CONTEXT, MIDDLE} <= shapes.keys():
            raise BadInput("exported network", file.name, "give one of a UNet")
        residuals = [name for name in shapes if name.startswith(RESIDUAL)]
        # one zero a channel: onnxruntime spreads it over the feature
        self._zeros = {
            name: torch.zeros(1, int(shapes[name][1]), 1, 1) for name in (MIDDLE, *residuals)
        }
        self.outputs = len(residuals)
        self.context_width = int(shapes[CONTEXT][2])

    def noise(
        self,
        latent: Tensor,
        time: Tensor,
        context: Tensor,
        residuals: Sequence[Tensor | None] = (),
        middle: Tensor | None = None,
    ) -> Tensor:
        """[B, 4, h, w] of latents [B, 4, h, w], times [B] and context [B, T, C].

        Args:
            residuals: none, or one an encoder output, in the encoder's order; None adds nothing.
            middle: of the middle block.
        Raises:
            BadInput: another number of residuals.
        """
        if len(residuals) not in (0, self.outputs):
            raise BadInput("residuals", len(residuals), f"give none or {self.outputs}")
        names = list(self._zeros)
        added = dict(zip(names, (middle, *residuals), strict=False))
        given = {LATENT: latent, TIME: time, CONTEXT: context} | self._zeros
        given |= {name: value for name, value in added.items() if value is not None}
        return self.network(given)[0].to(latent)

    def __call__(
        self,
        sample: Tensor,
        timestep: Tensor,
        encoder_hidden_states: Tensor,
        *,
        down_block_additional_residuals: Sequence[Tensor] | None = None,
        mid_block_additional_residual: Tensor | None = None,
        return_dict: bool = False,
    ) -> tuple[Tensor]:
        """As diffusers' UNet2DConditionModel is called, with return_dict=False."""
        if return_dict:
            raise BadInput("return_dict", return_dict, "give False")
        times = timestep.reshape(-1).expand(len(sample))
        residuals = down_block_additional_residuals or ()
        middle = mid_block_additional_residual
        return (self.noise(sample, times, encoder_hidden_states, residuals, middle),)
