"""A ControlNet as two ONNX files, and a copy of core's control object that runs these.

The hint encoder is a file of its own: its input stays the same all run.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import comfy.controlnet
import torch
from comfy.cldm.cldm import ControlNet as Network
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ..control.lean_net import EncodedOnce, Passed
from ..control.positions import FULL_LENGTH, FULL_LEVELS, Control, positions_of
from ..errors import BadInput
from .graph import (
    BATCH,
    CONTEXT,
    HEIGHT,
    HINT,
    LATENT,
    MIDDLE,
    PIXELS,
    TIME,
    TOKENS,
    WIDTH,
    Graph,
    context_width,
    residual_name,
)  # fmt: skip
from .network import OnnxNetwork

ENCODED = "encoded"
MOST_HINTS = 4  # kept: core's own sampling tells the network of no run's end


def hint_file(file: Path) -> Path:
    """The hint encoder's, beside the network's."""
    return file.with_name(f"{file.stem}.hint.onnx")


def control_positions(network: Any) -> tuple[int, ...]:
    """SD1.5's, of its residuals.

    Raises:
        BadInput: a union of several nets, SDXL's, or one with fewer levels than SD1.5.
    """
    do = "give one of SD1.5's kind, full or with one ResNet a level"
    if network.num_classes is not None or network.control_add_embedding is not None:
        raise BadInput("ControlNet", "SDXL's or a union", do)
    resnets = list(network.num_res_blocks)
    if len(resnets) != FULL_LEVELS:
        raise BadInput("levels of the ControlNet", len(resnets), do)
    return positions_of(resnets)


class _Encoder(torch.nn.Module):
    def __init__(self, network: Network) -> None:
        super().__init__()
        self.encoder = network.input_hint_block

    def forward(self, hint: Tensor) -> Tensor:
        return self.encoder(hint, None, None)


class _Body(torch.nn.Module):
    def __init__(self, network: Network) -> None:
        super().__init__()
        body: Any = copy.copy(network)
        vars(body)["_modules"] = dict(network.named_children())  # else the two would share them
        body.input_hint_block = Passed()
        self.body = body

    def forward(
        self, latent: Tensor, encoded: Tensor, time: Tensor, context: Tensor
    ) -> tuple[Tensor, ...]:
        said = self.body(x=latent, hint=encoded, timesteps=time, context=context)
        return (*said["output"], *said["middle"])


def encoder_graph(network: Any) -> Graph:
    channels = network.input_hint_block[0].in_channels
    hint = torch.rand(BATCH, channels, HEIGHT * PIXELS, WIDTH * PIXELS)
    return Graph(_Encoder(network), {HINT: hint}, (ENCODED,), ("encoder.0.",))


def body_graph(network: Any) -> Graph:
    example = {
        LATENT: torch.randn(BATCH, network.in_channels, HEIGHT, WIDTH),
        ENCODED: torch.randn(BATCH, network.model_channels, HEIGHT, WIDTH),
        TIME: torch.tensor([500.0, 20.0]),
        CONTEXT: torch.randn(BATCH, TOKENS, context_width(network)),
    }
    outputs = tuple(residual_name(index) for index in range(len(network.zero_convs)))
    return Graph(_Body(network), example, (*outputs, MIDDLE), ("body.input_blocks.0.",))


class OnnxEncoder(torch.nn.Module):
    """Stands for the hint encoder."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.network = OnnxNetwork(file)

    def forward(self, hint: Tensor) -> Tensor:
        return self.network({HINT: hint})[0]


class OnnxControlNet(torch.nn.Module):
    """Stands for the network in core's control object.

    Args:
        positions: SD1.5's, of its residuals: they are listed there, nothing elsewhere.
    """

    dtype = torch.float32

    def __init__(self, file: Path, positions: Sequence[int]) -> None:
        super().__init__()
        self.body = OnnxNetwork(file)
        # under core's name for it, so that the end of a run that we unroll clears it
        self.input_hint_block = EncodedOnce(OnnxEncoder(hint_file(file)), MOST_HINTS)
        self.positions = tuple(positions)

    def forward(
        self, x: Tensor, hint: Tensor, timesteps: Tensor, context: Tensor, **_: Any
    ) -> Control:
        given = {LATENT: x, ENCODED: self.input_hint_block(hint), TIME: timesteps, CONTEXT: context}
        *found, middle = (each.to(x) for each in self.body(given))
        placed: list[Tensor | None] = [None] * FULL_LENGTH
        for position, residual in zip(self.positions, found, strict=True):
            placed[position] = residual
        return {"output": placed, "middle": [middle]}

    def forget(self) -> None:
        """The hints that were encoded."""
        self.input_hint_block.known.clear()


def run_control_net(net: Any, network: OnnxControlNet) -> comfy.controlnet.ControlNet:
    """A copy of core's control object that asks the exported network.

    Raises:
        BadInput: another kind of CONTROL_NET.
    """
    own = copied(net)
    own.control_model = network
    own.control_model_wrapped = ModelPatcher(
        network, load_device=torch.device("cpu"), offload_device=torch.device("cpu")
    )
    return own


def copied(net: Any) -> comfy.controlnet.ControlNet:
    if type(net) is not comfy.controlnet.ControlNet:
        do = "give a ControlNet of SD1.5's kind; T2I-Adapters and Control-LoRAs run as they are"
        raise BadInput("control_net", type(net).__name__, do)
    return net.copy()
