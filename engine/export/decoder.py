"""A decoder as an ONNX file, and a copy of core's VAE that decodes by it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, NoReturn

import comfy.sd
import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ..errors import BadInput
from .graph import BATCH, HEIGHT, LATENT, PICTURE, WIDTH, Graph
from .network import OnnxNetwork

THIN = 4  # channels of latents and pictures: weights between these and the rest are few


class _Decoder(torch.nn.Module):
    def __init__(self, autoencoder: torch.nn.Module) -> None:
        super().__init__()
        self.autoencoder: Any = autoencoder

    def forward(self, latent: Tensor) -> Tensor:
        return self.autoencoder.decode(latent)


def decoder_graph(vae: comfy.sd.VAE) -> Graph:
    """The decoder of SD1's kind, full or TAESD's.

    Raises:
        BadInput: latents of another kind.
    """
    if vae.latent_channels != THIN:
        raise BadInput("latent channels", vae.latent_channels, "give a VAE of SD1.5's kind")
    autoencoder: Any = vae.first_stage_model
    module = _Decoder(autoencoder)
    thin = [
        name
        for name, weight in module.named_parameters()
        if weight.ndim == 4 and min(weight.shape[:2]) <= THIN
    ]
    example = {LATENT: torch.randn(BATCH, THIN, HEIGHT, WIDTH)}
    return Graph(module, example, (PICTURE,), tuple(thin))


class OnnxDecoder(torch.nn.Module):
    """Stands for the autoencoder in core's VAE."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.network = OnnxNetwork(file)

    def decode(self, latent: Tensor, **_: Any) -> Tensor:
        """Pictures [B, 3, 8 h, 8 w], about -1..1, of latents [B, 4, h, w] in the VAE's scale."""
        return self.network({LATENT: latent})[0].to(latent)

    def encode(self, *_: Any, **__: Any) -> NoReturn:
        raise BadInput("vae", "an exported decoder alone", "encode with the model's own VAE")


def run_decoder(vae: comfy.sd.VAE, decoder: OnnxDecoder) -> comfy.sd.VAE:
    """A copy of the VAE that decodes by the exported network."""
    own: Any = copy.copy(vae)
    own.first_stage_model = decoder
    cpu = torch.device("cpu")
    own.patcher = ModelPatcher(decoder, load_device=cpu, offload_device=cpu)
    return own
