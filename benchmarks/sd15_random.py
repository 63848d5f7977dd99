"""SD1.5's networks, or the same at other widths, with random weights, as core's own objects."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from .comfy_modules import KEPT  # isort: skip

import comfy.controlnet
import comfy.ops
import comfy.sd
import torch
from comfy.cldm.cldm import ControlNet as Network
from comfy.latent_formats import SD15
from comfy.ldm.models.autoencoder import AutoencoderKL
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP
from comfy.taesd.taesd import TAESD
from safetensors.torch import save_file
from torch import Tensor

from ..engine.control.positions import FIT
from ..engine.control.unroll import UNROLL
from ..engine.sampling.compact_unet import build_unet
from ..engine.sampling.tiny_decoder import load_tiny_decoder
from ..engine.sampling.unet_layout import NO_MIDDLE, UNetLayout

__all__ = ["KEPT"]
HEADS, TOKENS = 8, 77
LAYOUTS = ("full", "base", "small", "tiny")


@dataclass(frozen=True, slots=True)
class Widths:
    """channels: of the first level. SD1.5: 320 and 768; 128 in the autoencoder."""

    channels: int = 320
    context: int = 768
    decoder: int = 128


def _layout(widths: Widths, name: str) -> UNetLayout:
    levels = 3 if name == "tiny" else 4
    resnets = 2 if name == "full" else 1
    with_attention = [1] * 3 + [0] * (levels - 3)
    return UNetLayout(
        channels=widths.channels,
        context=widths.context,
        channel_mult=(1, 2, 4, 4)[:levels],
        resnets=(resnets,) * levels,
        depth_in=tuple(depth for depth in with_attention for _ in range(resnets)),
        depth_middle=1 if name in ("full", "base") else NO_MIDDLE,
        depth_out=tuple(d for d in reversed(with_attention) for _ in range(resnets + 1)),
        linear=False,
    )


@cache
def unet(widths: Widths, name: str) -> ModelPatcher:
    """MODEL of BK-SDM's layout, fitted and unrolling as every one of Load Compact Model."""
    torch.manual_seed(LAYOUTS.index(name))
    shapes = weight_shapes(widths, name)
    return build_unet({k: _random(torch.empty(v)) for k, v in shapes.items()}, heads=HEADS)


def weight_shapes(widths: Widths, name: str) -> dict[str, torch.Size]:
    """Of core's UNet in BK-SDM's layout, by LDM's names."""
    config: dict[str, Any] = _layout(widths, name).config() | {"num_heads": HEADS}
    empty: Any = UNetModel(
        **config, device="meta", dtype=torch.float32, operations=comfy.ops.disable_weight_init
    )
    return {key: value.shape for key, value in empty.state_dict().items()}


def stock(model: ModelPatcher) -> ModelPatcher:
    """As core's own loader would give a full one: nothing of ours around it."""
    plain = model.clone()
    plain.remove_wrappers_with_key(WrappersMP.APPLY_MODEL, FIT)
    plain.remove_wrappers_with_key(WrappersMP.OUTER_SAMPLE, UNROLL)
    return plain


@cache
def control_net(widths: Widths) -> comfy.controlnet.ControlNet:
    """A full one. All nets of a chain are copies on its weights: 1.4 GB once, not four times."""
    torch.manual_seed(9)
    config = _layout(widths, "full").config()
    for key in ("out_channels", "transformer_depth_output"):
        config.pop(key)
    made: Any = Network(
        **config, num_heads=HEADS, hint_channels=3, dtype=torch.float32,
        operations=comfy.ops.disable_weight_init,
    )  # fmt: skip
    for parameter in made.parameters():
        _random(parameter.data)
    return comfy.controlnet.ControlNet(made, load_device=torch.device("cpu"))


def chained(widths: Widths, nets: int, px: int) -> dict[str, Any]:
    """Options of a cond with a chain of so many nets, each with its own hint."""
    last: Any = None
    for seed in range(nets):
        hint = torch.rand(1, 3, px, px, generator=torch.Generator().manual_seed(seed))
        net = control_net(widths).copy().set_cond_hint(hint, 0.8)
        last = net.set_previous_controlnet(last)
    return {} if last is None else {"control": last}


def prompt(widths: Widths, seed: int, options: dict[str, Any]) -> list[list[Any]]:
    generator = torch.Generator().manual_seed(seed)
    return [[torch.randn(1, TOKENS, widths.context, generator=generator), dict(options)]]


@cache
def full_decoder(widths: Widths) -> comfy.sd.VAE:
    torch.manual_seed(10)
    body: dict[str, Any] = {
        "double_z": True, "z_channels": 4, "resolution": 256, "in_channels": 3, "out_ch": 3,
        "ch": widths.decoder, "ch_mult": [1, 2, 4, 4], "num_res_blocks": 2, "attn_resolutions": [],
        "dropout": 0.0,
    }  # fmt: skip
    config = {"params": {"ddconfig": body, "embed_dim": 4}}
    weights = {k: _random(v) for k, v in AutoencoderKL(**config["params"]).state_dict().items()}
    return comfy.sd.VAE(sd=weights, config=config, dtype=torch.float32)


@cache
def tiny_decoder() -> comfy.sd.VAE:
    torch.manual_seed(11)
    weights = {k: _random(v) for k, v in TAESD().taesd_decoder.state_dict().items()}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "taesd_decoder.safetensors"
        save_file(weights, file)
        return load_tiny_decoder(file, SD15())


def _random(weight: Tensor) -> Tensor:
    """Filled so that what goes through keeps its size: no infinities, no denormal numbers."""
    if weight.ndim == 1:
        return weight.uniform_(0.5, 1.0)  # norms and biases
    return weight.normal_(std=weight[0].numel() ** -0.5)
