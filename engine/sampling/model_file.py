"""MODEL, and CLIP and VAE if they are in it, from one safetensors file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import comfy.sd
from comfy.model_detection import unet_prefix_from_state_dict
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from .compact_unet import build_unet
from .kind import check_kind
from .told import told_by_metadata
from .weights import read_shapes, read_weights

VAE = "first_stage_model."


def load_model_file(
    path: Path, embeddings: Sequence[str] = ()
) -> tuple[ModelPatcher, comfy.sd.CLIP | None, comfy.sd.VAE | None]:
    """A UNet alone, in diffusers or LDM keys, or a whole checkpoint of SD1.5's or SD2's kind.

    Args:
        embeddings: folders of textual inversions.
    Raises:
        Unavailable: no such file, or no safetensors file.
        BadInput: another kind of model (found before its weights are read).
    """
    shapes = read_shapes(path)
    prefix = unet_prefix_from_state_dict(shapes)
    if not any(key.startswith(prefix) for key in shapes):
        prefix = ""
    check_kind(_part(shapes, prefix))
    weights, metadata = read_weights(path)
    model = build_unet(_part(weights, prefix), **told_by_metadata(metadata))
    vae = _part(weights, VAE)
    return model, _clip(model, weights, embeddings), comfy.sd.VAE(sd=vae) if vae else None


def _part(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): weights[key] for key in weights if key.startswith(prefix)}


def _clip(
    model: ModelPatcher, weights: dict[str, Tensor], embeddings: Sequence[str]
) -> comfy.sd.CLIP | None:
    """As core's checkpoint loader makes it."""
    known: Any = model.model.model_config
    text = known.process_clip_state_dict(weights)
    if not text:
        return None
    clip = comfy.sd.CLIP(
        known.clip_target(),
        embedding_directory=list(embeddings),
        tokenizer_data=text,
        parameters=sum(value.numel() for value in text.values()),
    )
    clip.load_sd(text, full_model=True)
    return clip
