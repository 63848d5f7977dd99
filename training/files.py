"""The family's shipped files as the trainer's own modules: what judges and benchmarks score."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ..engine.sampling.unet_layout import control_to_ldm
from .autoencoder import Autoencoder, rescale
from .export import CONTROL_NETS, LATENT_SCALE, control_file
from .generate import Family
from .judge import Judge
from .libraries import ControlNetModel
from .run import load_weights
from .text import build_text_encoder
from .train_control import build_control_net
from .unet import build_unet

SHIPPED = Path(__file__).resolve().parents[1] / "demo_models"
JUDGE = Path(__file__).resolve().with_name("judge.safetensors")


def open_family(folder: Path = SHIPPED) -> Family:
    unet = build_unet("full")
    unet.load_state_dict(_float(folder / "unet.safetensors"))
    text = build_text_encoder()
    text.load_state_dict(_like(text.state_dict(), _float(folder / "text_encoder.safetensors")))
    autoencoder = Autoencoder()
    autoencoder.load_state_dict(_float(folder / "vae.safetensors"))
    rescale(autoencoder, torch.eye(4) * LATENT_SCALE, torch.zeros(4))
    for module in (unet, text, autoencoder):
        module.eval().requires_grad_(False)
    return Family(unet.to(memory_format=torch.channels_last), text, autoencoder)


def open_control_net(family: Family, kind: str, folder: Path = SHIPPED) -> ControlNetModel:
    net = build_control_net(family.unet)
    own = net.state_dict()
    marks = {key: torch.full((1,), index) for index, key in enumerate(own)}
    names = {key: int(mark) for key, mark in control_to_ldm(marks).items()}
    back = {ldm: list(own)[index] for ldm, index in names.items()}
    weights = _float(folder / CONTROL_NETS / control_file(kind))
    net.load_state_dict({back[key]: value for key, value in weights.items()})
    return net.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def open_judge(path: Path = JUDGE) -> Judge:
    judge = Judge()
    judge.load_state_dict(_float(path))
    return judge.eval().requires_grad_(False)


def _float(path: Path) -> dict[str, Tensor]:
    return {
        key: value.float() if value.is_floating_point() else value
        for key, value in load_weights(path)[0].items()
    }


def _like(own: dict[str, Tensor], weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Some versions of transformers put `text_model.` before every key, some do not."""
    if any(key.startswith("text_model.") for key in own):
        return weights
    return {key.removeprefix("text_model."): value for key, value in weights.items()}
