"""MODEL, CLIP and VAE from a folder in diffusers' form, compact layouts included.

Core's own DiffusersLoader builds SD1.5 and SD2 only; it takes BK-SDM's folders for broken ones.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import comfy.model_patcher
import comfy.sd
from torch import Tensor

from ..errors import Unavailable
from .compact_unet import build_unet
from .kind import check_kind
from .told import told_by_configs
from .weights import read_shapes, read_weights

UNET, TEXT, VAE, SCHEDULER = "unet", "text_encoder", "vae", "scheduler"
WEIGHTS = {
    UNET: "diffusion_pytorch_model",
    TEXT: "model",
    VAE: "diffusion_pytorch_model",
}
TEXT_CONFIG = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "hidden_act",
)


def is_diffusers_folder(folder: Path) -> bool:
    return _has(folder, UNET)


def load_diffusers_folder(
    folder: Path, embeddings: Sequence[str] = ()
) -> tuple[comfy.model_patcher.ModelPatcher, comfy.sd.CLIP | None, comfy.sd.VAE | None]:
    """MODEL, and CLIP and VAE if there, of an SD1.5- or SD2-shaped pipeline of any layout.

    Args:
        embeddings: folders of textual inversions.
    Raises:
        Unavailable: a file is missing or broken.
        BadInput: another kind of model.
    """
    file = _weights_file(folder, UNET)
    check_kind(read_shapes(file))
    told = told_by_configs(_config(folder, UNET), _scheduler(folder))
    model = build_unet(read_weights(file)[0], **told)
    clip = _clip(folder, embeddings) if _has(folder, TEXT) else None
    vae = read_weights(_weights_file(folder, VAE))[0] if _has(folder, VAE) else None
    return model, clip, comfy.sd.VAE(sd=vae) if vae else None


def _has(folder: Path, part: str) -> bool:
    return (folder / part / "config.json").is_file()


def _clip(folder: Path, embeddings: Sequence[str]) -> comfy.sd.CLIP:
    text, _ = read_weights(_weights_file(folder, TEXT))
    text = _as_core_names(text)
    config = {key: value for key, value in _config(folder, TEXT).items() if key in TEXT_CONFIG}
    if comfy.sd.detect_te_model(text) == comfy.sd.TEModel.CLIP_H:
        # core takes the last layer but one, of files that keep it; diffusers' leave it out
        text |= _repeated(text, config["num_hidden_layers"])
        config["num_hidden_layers"] += 1
    return comfy.sd.load_text_encoder_state_dicts(
        [text],
        embedding_directory=list(embeddings),
        clip_type=comfy.sd.CLIPType.STABLE_DIFFUSION,
        model_options={"model_config": config, "clip_h_model_config": config},  # for CLIP-L, -H
    )


def _repeated(text: dict[str, Tensor], layers: int) -> dict[str, Tensor]:
    """The last of so many layers, under the next one's names."""
    last, more = (f"text_model.encoder.layers.{layer}." for layer in (layers - 1, layers))
    return {more + key.removeprefix(last): text[key] for key in text if key.startswith(last)}


def _as_core_names(text: dict[str, Tensor]) -> dict[str, Tensor]:
    """Newer transformers leave out the `text_model.` that core looks for."""
    if any(key.startswith("text_model.") for key in text):
        return text
    return {
        key if key.startswith("text_projection.") else f"text_model.{key}": value
        for key, value in text.items()
    }


def _scheduler(folder: Path) -> dict[str, Any] | None:
    path = folder / SCHEDULER / "scheduler_config.json"
    return _json(path) if path.is_file() else None


def _config(folder: Path, part: str) -> dict[str, Any]:
    return _json(folder / part / "config.json")


def _json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Unavailable("model's config", f"{path}: {error}", "fetch it anew") from error


def _weights_file(folder: Path, part: str) -> Path:
    """The part's safetensors file; a half-precision variant if there is no other."""
    plain = folder / part / f"{WEIGHTS[part]}.safetensors"
    half = folder / part / f"{WEIGHTS[part]}.fp16.safetensors"
    return half if half.is_file() and not plain.is_file() else plain
