"""At SD1.5's size, what is timed computes what diffusers does, and each residual reaches its block.

Further figures of `fast_sampling`, in parts of their own: a layout each. Random weights, float32,
CPU. Equality: one call of core's UNet, as Load Compact Model builds it, against diffusers'
UNet2DConditionModel on the same weights. Identity: residual i of a full ControlNet, and of a
T2I-Adapter, is filled with i + 1 and has to arrive, alone, where that position of SD1.5 went.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from .comfy_modules import KEPT  # isort: skip

import torch
from comfy.controlnet import ControlBase
from comfy.ldm.modules.diffusionmodules import openaimodel
from comfy.model_patcher import ModelPatcher
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor

from ..engine.control.positions import Control
from ..engine.sampling.compact_unet import build_unet
from .parts import Part, finish
from .sampled import Result, Way
from .sd15_random import HEADS, Widths, prompt

__all__ = ["KEPT"]
PART_OF = "fast_sampling"
DOWN = ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",)
UP = ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3
MULT = (1, 2, 4, 4)
LEVELS = (0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3)  # whose width each output of SD1.5 has
HALVED = (0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3)  # how often
MIDDLE = 99.0  # what the middle's residual is filled with
NEAR_ENOUGH, ARRIVED = 1e-5, 0.01


@dataclass(frozen=True, slots=True)
class Layout:
    """kept: SD1.5's positions of its encoder outputs, by the weight copies of arXiv 2305.15798."""

    kept: tuple[int, ...]
    resnets: int | tuple[int, ...] = 1
    levels: int = 4
    middle: bool = True


BASE = Layout((0, 2, 3, 5, 6, 8, 9, 11))
LAYOUTS = {
    "full": Layout(tuple(range(12)), resnets=2),
    "base": BASE,
    "small": replace(BASE, middle=False),
    "tiny": Layout((0, 2, 3, 5, 6, 8), levels=3, middle=False),
    "uneven": Layout((0, 2, 3, 4, 5, 6, 8, 9, 11), resnets=(1, 2, 1, 1)),
}


SD15 = Widths()


@dataclass(frozen=True)
class Settings:
    """latent: its side, 64 for 512 px."""

    widths: Widths = SD15
    latent: int = 64
    threads: int = 2


QUICK = Settings(widths=Widths(channels=64, context=96), latent=16, threads=1)
EXACT = ("equality_wrong", "identity_wrong", "identity_checked")
NEAR = {"equality_max_abs": NEAR_ENOUGH}
CODE = (
    *("benchmarks/fast_sampling_equality.py", "benchmarks/sampled.py"),
    *(f"engine/control/{name}.py" for name in ("fit", "positions", "unroll")),
    *(f"engine/sampling/{name}.py" for name in ("compact_unet", "unet_layout")),
)
ROOT = Path(__file__).resolve().parents[1]


def measure(settings: Settings, keep: Path | None = None) -> dict[str, float]:
    torch.set_num_threads(settings.threads)
    results = finish(parts(settings), keep)
    largest = {name: results[f"equality_{name}"]["max_abs"] for name in LAYOUTS}
    figures: dict[str, float] = {f"equality_max_abs_{k}": value for k, value in largest.items()}
    for name in LAYOUTS:
        figures[f"equality_std_{name}"] = results[f"equality_{name}"]["std"]
        figures[f"parameters_m_{name}"] = results[f"equality_{name}"]["parameters_m"]
    figures |= {
        "equality_max_abs": max(largest.values()),
        "equality_wrong": sum(not value <= NEAR_ENOUGH for value in largest.values()),
        "identity_checked": sum(results[f"equality_{name}"]["checked"] for name in LAYOUTS),
        "identity_wrong": sum(results[f"equality_{name}"]["wrong"] for name in LAYOUTS),
    }
    return figures


def parts(settings: Settings) -> dict[str, Part]:
    """Each good for the code that it measures."""
    checksum = zlib.crc32(b"".join((ROOT / file).read_bytes() for file in CODE))
    key = f"{settings} {checksum} torch {torch.__version__}"
    return {
        f"equality_{name}": Part(partial(_one, settings, layout), key)
        for name, layout in LAYOUTS.items()
    }


def _one(settings: Settings, layout: Layout, _done: Mapping[str, Result]) -> Result:
    unet = _diffusers_unet(settings.widths, layout)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 4, settings.latent, settings.latent, generator=generator)
    context = torch.randn(1, 77, settings.widths.context, generator=generator)
    times = torch.tensor([500])
    with torch.no_grad():
        expected = unet(x, times, context).sample
    weights = unet.state_dict()
    del unet
    model = build_unet(weights, heads=HEADS)
    body: Any = model.model.diffusion_model
    del weights
    with torch.no_grad():
        found = body(x, times.float(), context=context)
    arrived = _arrived(model, settings)
    wanted = _wanted(layout)
    wrong = sum(not abs(a - b) < ARRIVED for a, b in zip(arrived, wanted, strict=True))
    return {
        "max_abs": float((found - expected).abs().max()),
        "std": float(expected.std()),
        "parameters_m": sum(weight.numel() for weight in body.parameters()) / 1e6,
        "checked": len(wanted),
        "wrong": wrong,
    }


def _diffusers_unet(widths: Widths, layout: Layout) -> UNet2DConditionModel:
    torch.manual_seed(0)
    make: Any = UNet2DConditionModel  # its annotations know fewer forms than it takes
    return make(
        block_out_channels=[widths.channels * mult for mult in MULT[: layout.levels]],
        down_block_types=DOWN[: layout.levels],
        up_block_types=UP[len(UP) - layout.levels :],
        mid_block_type="UNetMidBlock2DCrossAttn" if layout.middle else None,
        layers_per_block=layout.resnets,
        attention_head_dim=HEADS,  # a number of heads, to diffusers
        cross_attention_dim=widths.context,
    ).eval()


# --- where residuals arrive


class _Given(ControlBase):
    """Always says the same."""

    def __init__(self, control: Mapping[str, Sequence[Tensor | None]]) -> None:
        super().__init__()
        self.control = control

    def get_control(self, *_: Any) -> Control:
        return {key: list(values) for key, values in self.control.items()}


def _wanted(layout: Layout) -> list[float]:
    """Of the skips from the deepest, the deepest feature, the encoder's outputs."""
    skips = [position + 1.0 for position in layout.kept]
    return [*reversed(skips), MIDDLE if layout.levels == len(MULT) else 0.0, *skips]


def _arrived(model: ModelPatcher, settings: Settings) -> list[float]:
    """What was added, in the mean, where `_wanted` says; exact to the rounding of features."""
    side = settings.latent
    filled = [
        torch.full((1, settings.widths.channels * MULT[level], side >> half, side >> half), i + 1.0)
        for i, (level, half) in enumerate(zip(LEVELS, HALVED, strict=True))
    ]
    middle = [torch.full_like(filled[-1], MIDDLE)]
    plain = _decoder_inputs(model, settings, {})
    net = _Given({"input": [], "middle": middle, "output": filled})
    steered = _decoder_inputs(model, settings, {"control": net})
    skips = [_added(a[1], b[1]) for a, b in zip(plain, steered, strict=True)]
    adapter = _Given({"input": filled[::-1], "middle": [], "output": []})
    return [*skips, _added(plain[0][0], steered[0][0]), *_encoder(model, settings, adapter)]


def _added(before: Tensor, after: Tensor) -> float:
    """NaN if it is not the same everywhere."""
    difference = after - before
    mean = float(difference.mean())
    return mean if float((difference - mean).abs().max()) < ARRIVED else float("nan")


def _decoder_inputs(
    model: ModelPatcher, settings: Settings, options: dict[str, Any]
) -> Sequence[tuple[Tensor, Tensor]]:
    """(feature, skip) at each decoder block, from the deepest, in one call of the UNet."""
    seen: list[tuple[Tensor, Tensor]] = []

    def look(feature: Tensor, skip: Tensor, _: Any) -> tuple[Tensor, Tensor]:
        seen.append((feature.clone(), skip.clone()))
        return feature, skip

    watched = model.clone()
    watched.set_model_output_block_patch(look)
    _run(watched, settings, options)
    return seen


def _encoder(model: ModelPatcher, settings: Settings, net: _Given) -> Sequence[float]:
    """What an adapter added to each output of the encoder, in one call of the UNet."""
    added: list[float] = []
    core: Any = openaimodel.apply_control

    def watched(feature: Tensor, control: Any, name: str) -> Tensor:
        before = feature.clone()
        after = core(feature, control, name)
        if name == "input":
            added.append(_added(before, after))
        return after

    with mock.patch.object(openaimodel, "apply_control", watched):
        _run(model, settings, {"control": net})
    return added


def _run(model: ModelPatcher, settings: Settings, options: dict[str, Any]) -> None:
    sides = [prompt(settings.widths, 0, options) for _ in range(2)]
    Way(model, *sides, latent=settings.latent, cfg=1.0, sampler="euler", scheduler="normal").run(1)
