"""Pictures from captions, with and without hints: for judges, benchmarks and contact sheets."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import Module

from .autoencoder import Autoencoder
from .consistency import sample_lcm
from .diffusion import guided, sample_ancestral, sample_solver
from .libraries import CLIPTextModel, ControlNetModel
from .students import encoder_outputs, kept_residuals
from .text import encode, no_words
from .unet import LATENT_SIDE
from .words import token_rows

GUIDANCE, STEPS = 4.5, 20
SAMPLERS = ("ancestral", "solver")


@dataclass(frozen=True, slots=True)
class Family:
    unet: Any  # UNet2DConditionModel, or what is called like it
    text: CLIPTextModel
    autoencoder: Autoencoder

    @property
    def device(self) -> torch.device:
        return self.text.device

    @property
    def outputs(self) -> int:
        """Of the UNet's encoder; an exported UNet, which has no blocks, tells itself."""
        told = getattr(self.unet, "outputs", None)
        return encoder_outputs(self.unet) if told is None else told


@dataclass(frozen=True, slots=True)
class Control:
    """A ControlNet, its hints [N, 3, H, W] for the N captions, and how strong."""

    net: ControlNetModel
    hints: Tensor
    strength: float = 1.0


def generate(
    family: Family,
    words: list[tuple[str, ...]],
    seed: int,
    *,
    sampler: str = "ancestral",
    steps: int = STEPS,
    guidance: float = GUIDANCE,
    controls: tuple[Control, ...] = (),
    batch: int = 25,
) -> Tensor:
    """[N, 3, 128, 128] in 0..1; picture k depends on its caption, the seed and k's batch alone.

    sampler: one of `SAMPLERS`, or `lcm` for a UNet that has its guidance in its weights.
    """
    unsaid = encode(family.text, no_words().to(family.device))
    parts: list[Tensor] = []
    for at in range(0, len(words), batch):
        some = words[at : at + batch]
        tokens = torch.tensor([token_rows(each) for each in some], device=family.device)
        generator = torch.Generator().manual_seed(seed * 100_003 + at)
        shape = (len(some), 4, LATENT_SIDE, LATENT_SIDE)
        noise = torch.randn(shape, generator=generator).to(family.device)
        near = tuple(
            encoded_once(replace(control, hints=control.hints[at : at + batch].to(family.device)))
            for control in controls
        )
        said, plain = encode(family.text, tokens), _predictor(family, near)
        predict = guided(plain, said, unsaid, guidance)
        if sampler == "lcm":
            alone = partial(plain, context=said)
            latents = sample_lcm(alone, noise, steps, seed * 100_003 + at)
        elif sampler == "ancestral":
            latents = sample_ancestral(predict, noise, steps, seed * 100_003 + at)
        else:
            latents = sample_solver(predict, noise, steps)
        with torch.no_grad():
            parts.append(family.autoencoder.decode(latents).clamp(-1, 1) / 2 + 0.5)
    return torch.cat(parts)


def _predictor(family: Family, controls: tuple[Control, ...]):
    """Noise of the batch; ControlNets' residuals are added up, as chains in ComfyUI do."""
    outputs = family.outputs

    @torch.no_grad()
    def predict(latents: Tensor, times: Tensor, context: Tensor) -> Tensor:
        latents = latents.contiguous(memory_format=torch.channels_last)
        extra: dict[str, object] = {}
        for control in controls:
            down, middle = control.net(
                latents,
                times,
                context,
                controlnet_cond=control.hints.repeat(len(latents) // len(control.hints), 1, 1, 1),
                conditioning_scale=control.strength,
                return_dict=False,
            )
            down, middle = kept_residuals(down, middle, outputs)
            if extra:
                pairs = zip(extra["down_block_additional_residuals"], down, strict=True)
                down = [a + b for a, b in pairs]
                middle = extra["mid_block_additional_residual"] + middle
            extra = {
                "down_block_additional_residuals": down,
                "mid_block_additional_residual": middle,
            }
        return family.unet(latents, times, context, return_dict=False, **extra)[0]

    return predict


class _Encoded(Module):
    """In place of a hint encoder: what it made of some hints, for batches that repeat them."""

    def __init__(self, encoded: Tensor) -> None:
        super().__init__()
        self.encoded = encoded

    def forward(self, hints: Tensor) -> Tensor:
        return self.encoded.repeat(len(hints) // len(self.encoded), 1, 1, 1)


@torch.no_grad()
def encoded_once(control: Control) -> Control:
    """Its hints go through the encoder now, not on every step: nothing else changes the result.

    Half of this family's ControlNet is the encoder. The net that was given stays as it is.
    """
    net = copy.copy(control.net)
    encoder = net.controlnet_cond_embedding
    net._modules = {
        **net._modules,
        "controlnet_cond_embedding": _Encoded(encoder(control.hints)),
    }
    return replace(control, net=net)


def contact_sheet(pictures: Tensor, path: Path, columns: int = 8) -> None:
    """[N, 3, H, W] in 0..1 as one PNG, row by row."""
    pixels = (pictures.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    n, height, width, _ = pixels.shape
    rows = -(-n // columns)
    sheet = np.zeros((rows * height, columns * width, 3), np.uint8)
    for index, picture in enumerate(pixels):
        y, x = divmod(index, columns)
        sheet[y * height : (y + 1) * height, x * width : (x + 1) * width] = picture
    Image.fromarray(sheet).save(path)
