"""The demo family from its folder: one of its UNets, its text encoder, its autoencoder."""

from __future__ import annotations

import json
from pathlib import Path

import comfy.model_patcher
import comfy.sd

from ..errors import BadInput
from .compact_unet import build_unet
from .family_files import DECODER, TEXT, UNET, VAE, decoder_file, unet_file
from .narrow_vae import build_narrow_vae
from .told import HEADS, told_by_metadata
from .vocabulary import build_clip
from .weights import read_weights

VOCABULARY = "vocabulary"  # key of the metadata


def load_family(
    folder: Path, member: str = ""
) -> tuple[comfy.model_patcher.ModelPatcher, comfy.sd.CLIP, comfy.sd.VAE]:
    """MODEL, CLIP and VAE.

    Args:
        member: a compact or few-step UNet of `unet_members`; the full one when not given.
    Raises:
        Unavailable: a file is missing or no safetensors file.
        BadInput: a file says too little about itself, or holds other weights.
    """
    unet, told = read_weights(folder / (unet_file(member) if member else UNET))
    model = build_unet(unet, **told_by_metadata(told))
    own = DECODER if decoder_file(folder).is_file() else None
    model.model.latent_format.taesd_decoder_name = own  # SD1.5's cannot read these latents
    text, said = read_weights(folder / TEXT)
    words = tuple(json.loads(_fact(said, VOCABULARY, TEXT)))
    clip = build_clip(text, words, heads=int(_fact(said, HEADS, TEXT)))
    return model, clip, build_narrow_vae(read_weights(folder / VAE)[0])


def _fact(metadata: dict[str, str], key: str, name: str) -> str:
    if key not in metadata:
        raise BadInput(f"{name} without {key}", sorted(metadata), "give a file that tells it")
    return metadata[key]
