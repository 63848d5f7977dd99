"""The family's shipped files as the trainer's own modules: what judges and benchmarks score."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ..engine.sampling.family_files import (
    CONTROL_NETS,
    TEXT,
    UNET,
    VAE,
    control_file,
    decoder_file,
)
from ..engine.sampling.unet_layout import control_to_ldm
from .autoencoder import Autoencoder, rescale
from .export import FAMILY, LATENT_SCALE
from .generate import Family
from .hints import KINDS
from .judge import Judge
from .libraries import ControlNetModel, DecoderTiny, UNet2DConditionModel
from .members import COMPARED, UNETS
from .run import load_weights
from .text import build_text_encoder
from .tiny_decoder import build_tiny_decoder, from_taesd
from .train_control import build_control_net
from .unet import build_unet

SHIPPED = Path(__file__).resolve().parents[1] / FAMILY
JUDGE = Path(__file__).resolve().with_name("judge.safetensors")


def full_files(folder: Path = SHIPPED) -> list[Path]:
    """The full model's files and its ControlNets', as far as they are there; no other member's."""
    nets = [folder / CONTROL_NETS / control_file(kind) for kind in KINDS]
    parts = [folder / name for name in (TEXT, UNET, VAE)]
    return sorted(path for path in (*nets, *parts) if path.exists())


def open_family(folder: Path = SHIPPED) -> Family:
    text = build_text_encoder()
    text.load_state_dict(_like(text.state_dict(), _float(folder / TEXT)))
    autoencoder = Autoencoder()
    autoencoder.load_state_dict(_float(folder / VAE))
    rescale(autoencoder, torch.eye(4) * LATENT_SCALE, torch.zeros(4))
    for module in (text, autoencoder):
        module.eval().requires_grad_(False)
    return Family(open_unet(folder), text, autoencoder)


def open_unet(folder: Path = SHIPPED, name: str = "full") -> UNet2DConditionModel:
    """A member's UNet, or one of `COMPARED` from the folder that those are exported to."""
    member = (UNETS | COMPARED)[name]
    unet = build_unet(member.layout)
    unet.load_state_dict(_float(folder / member.file))
    return unet.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def open_control_net(family: Family, kind: str, folder: Path = SHIPPED) -> ControlNetModel:
    return _control_net(family.unet, folder / CONTROL_NETS / control_file(kind))


def open_compact_control_net(kind: str, folder: Path = SHIPPED) -> ControlNetModel:
    """Made for the Base student, and few-step UNets of it."""
    path = folder / CONTROL_NETS / control_file(kind, compact=True)
    return _control_net(build_unet("base"), path)


def open_tiny_decoder(folder: Path = SHIPPED) -> DecoderTiny:
    decoder = build_tiny_decoder()
    decoder.load_state_dict(from_taesd(_float(decoder_file(folder))))
    return decoder.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def _control_net(unet: UNet2DConditionModel, path: Path) -> ControlNetModel:
    net = build_control_net(unet)
    own = net.state_dict()
    marks = {key: torch.full((1,), index) for index, key in enumerate(own)}
    names = {key: int(mark) for key, mark in control_to_ldm(marks).items()}
    back = {ldm: list(own)[index] for ldm, index in names.items()}
    net.load_state_dict({back[key]: value for key, value in _float(path).items()})
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
