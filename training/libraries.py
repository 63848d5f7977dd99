"""diffusers and transformers, imported even where torchvision does not fit torch."""

from __future__ import annotations

from ..headless.launch import import_torchvision

KEPT = import_torchvision()  # the operators that it defines end with this object

from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL  # noqa: E402
from diffusers.models.autoencoders.vae import (  # noqa: E402
    DecoderTiny,
    DiagonalGaussianDistribution,
)
from diffusers.models.controlnets.controlnet import ControlNetModel  # noqa: E402
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel  # noqa: E402
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer  # noqa: E402

__all__ = [
    "KEPT",
    "AutoencoderKL",
    "CLIPTextConfig",
    "CLIPTextModel",
    "CLIPTokenizer",
    "ControlNetModel",
    "DecoderTiny",
    "DiagonalGaussianDistribution",
    "UNet2DConditionModel",
]
