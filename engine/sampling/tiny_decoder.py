"""The tiny decoder of TAESD's layout in place of the full one, which costs as much as five calls
of a compact UNet."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import comfy.sd
import comfy.utils
import torch
from comfy.taesd.taesd import Encoder

from ..errors import BadInput, Unavailable


class DecoderOnly(comfy.sd.VAE):
    """Core's VAE around a decoder whose encoder the user does not have."""

    def encode(self, *_: Any, **__: Any) -> NoReturn:
        raise BadInput("vae", "a tiny decoder alone", "encode with the model's own VAE")

    encode_tiled = encode  # pyright: ignore[reportAssignmentType]


def load_tiny_decoder(file: Path, latent_format: Any) -> comfy.sd.VAE:
    """VAE that only decodes.

    Args:
        file: of core's folder `vae_approx`.
        latent_format: of the model whose latents it reads.
    Raises:
        Unavailable: the file does not hold a decoder of that layout.
    """
    channels = latent_format.latent_channels
    decoder: Any = comfy.utils.load_torch_file(str(file), safe_load=True)
    if "1.weight" not in decoder or decoder["1.weight"].shape[1] != channels:
        raise Unavailable("tiny decoder", file.name, "give one of TAESD's layout")
    unused = Encoder(channels).state_dict()  # core's VAE would warn of every key
    return DecoderOnly(
        sd={
            **{f"taesd_decoder.{key}": value for key, value in decoder.items()},
            **{f"taesd_encoder.{key}": torch.zeros_like(value) for key, value in unused.items()},
            "vae_scale": torch.tensor(latent_format.scale_factor),
            "vae_shift": torch.tensor(0.0),
        }
    )
