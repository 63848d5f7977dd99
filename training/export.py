"""Stage `export`: what is trained, as the fp16 files that the pack ships and opens."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from ..engine.sampling.unet_layout import control_to_ldm
from .autoencoder import Autoencoder, rescale
from .hints import KINDS
from .judge import NAME as JUDGE
from .run import Setting, load_weights, save_weights
from .text import HEADS
from .text import NAME as TEXT
from .train_autoencoder import NAME as AUTOENCODER
from .train_unet import averaged
from .unet import HEAD
from .words import VOCABULARY

LATENT_SCALE = 0.18215  # ComfyUI multiplies what an SD1 autoencoder makes by it
LICENCE = "Apache-2.0"
CONTROL_NETS = "controlnet"  # a folder of their own, which ComfyUI can list


def train(setting: Setting) -> None:
    """Write every part that is trained into `<folder>/demo_models`, and the judge beside it."""
    out = setting.folder / "demo_models"
    tensors, told = load_weights(setting.weights("unet_full"))
    _write(out / "unet.safetensors", averaged(tensors), told | {"head_width": str(HEAD)})
    words = json.dumps(VOCABULARY[3:])
    tensors, told = load_weights(setting.weights(TEXT))
    tensors = {
        k if k.startswith("text_model.") else f"text_model.{k}": v for k, v in tensors.items()
    }
    tensors.pop("text_model.embeddings.position_ids", None)
    told |= {"heads": str(HEADS), "vocabulary": words}
    _write(out / "text_encoder.safetensors", tensors, told)
    tensors, told = load_weights(setting.weights(AUTOENCODER))
    _write(out / "vae.safetensors", _scaled(tensors), told)
    _shipped_judge(setting)
    for kind in KINDS:
        path = setting.weights(f"control_{kind}")
        if path.exists():
            tensors, told = load_weights(path)
            _write(out / CONTROL_NETS / control_file(kind), control_to_ldm(averaged(tensors)), told)


def _shipped_judge(setting: Setting) -> None:
    path = setting.weights(JUDGE)
    if path.exists():
        tensors, told = load_weights(path)
        _write(setting.folder / "shipped_judge.safetensors", tensors, told)


def control_file(kind: str) -> str:
    """Its name in the lists of ComfyUI's ControlNet loader."""
    return f"tandem_demo_{kind}.safetensors"


def _write(path: Path, tensors: dict[str, Tensor], told: dict[str, str]) -> None:
    half = {
        key: value.to(torch.float16) if value.is_floating_point() else value
        for key, value in tensors.items()
    }
    save_weights(path, half, told | {"licence": LICENCE, "made_by": "tandem train export"})


def _scaled(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The autoencoder whose latents have unit variance after ComfyUI's factor."""
    model = Autoencoder()
    model.load_state_dict(tensors)
    rescale(model, torch.eye(4) / LATENT_SCALE, torch.zeros(4))
    return model.state_dict()
