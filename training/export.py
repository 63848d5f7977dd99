"""Stage `export`: what is trained, as the fp16 files that the pack ships and opens."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from ..engine.sampling.family_files import (
    CONTROL_NETS,
    TEXT,
    VAE,
    control_file,
    decoder_file,
)
from ..engine.sampling.unet_layout import control_to_ldm
from .autoencoder import Autoencoder, rescale
from .averages import averaged
from .hints import KINDS
from .judge import NAME as JUDGE
from .members import COMPARED, UNETS, Member
from .run import Setting, load_weights, save_weights
from .text import HEADS
from .text import NAME as READER
from .tiny_decoder import to_taesd
from .train_autoencoder import NAME as AUTOENCODER
from .train_compact_control import weights_name
from .train_tiny_decoder import NAME as TINY_DECODER
from .unet import HEAD
from .words import VOCABULARY

LATENT_SCALE = 0.18215  # ComfyUI multiplies what an SD1 autoencoder makes by it
LICENCE = "Apache-2.0"
FAMILY, OTHERS = "demo_models", "compared"  # folders


def train(setting: Setting) -> None:
    """Write every part that is trained into `<folder>/demo_models`, the judge beside it.

    UNets that are only compared with the family's go into `<folder>/compared`.
    """
    out = setting.folder / FAMILY
    _unet(setting, UNETS["full"], out)
    words = json.dumps(VOCABULARY[3:])
    tensors, told = load_weights(setting.weights(READER))
    tensors = {
        k if k.startswith("text_model.") else f"text_model.{k}": v for k, v in tensors.items()
    }
    tensors.pop("text_model.embeddings.position_ids", None)
    told |= {"heads": str(HEADS), "vocabulary": words}
    _write(out / TEXT, tensors, told)
    tensors, told = load_weights(setting.weights(AUTOENCODER))
    _write(out / VAE, _scaled(tensors), told)
    for folder, members in ((out, UNETS), (setting.folder / OTHERS, COMPARED)):
        for member in members.values():
            if setting.weights(member.weights).exists():
                _unet(setting, member, folder)
    for kind in KINDS:
        nets = out / CONTROL_NETS
        _if_trained(setting, f"control_{kind}", nets / control_file(kind), _control_net)
        compact = nets / control_file(kind, compact=True)
        _if_trained(setting, weights_name(kind), compact, _control_net)
    _if_trained(setting, TINY_DECODER, decoder_file(out), _decoder)
    _if_trained(setting, JUDGE, setting.folder / "shipped_judge.safetensors", dict)


def _unet(setting: Setting, member: Member, folder: Path) -> None:
    tensors, told = load_weights(setting.weights(member.weights))
    _write(folder / member.file, averaged(tensors), told | {"head_width": str(HEAD)})


def _if_trained(
    setting: Setting,
    name: str,
    path: Path,
    shipped: Callable[[dict[str, Tensor]], dict[str, Tensor]],
) -> None:
    if setting.weights(name).exists():
        tensors, told = load_weights(setting.weights(name))
        _write(path, shipped(tensors), told)


def _control_net(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return control_to_ldm(averaged(tensors))


def _decoder(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return to_taesd(averaged(tensors))


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
