"""SD's noise schedule, the training loss of noise prediction, and two samplers."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

STEPS = 1000
BETAS = torch.linspace(0.00085**0.5, 0.012**0.5, STEPS, dtype=torch.float64) ** 2
SIGNAL = torch.cumprod(1 - BETAS, 0).float()  # share of signal in the noisy latent's variance
Predict = Callable[[Tensor, Tensor], Tensor]  # noisy latents, times -> noise, guidance included


def draw_times(count: int) -> Tensor:
    """[count] times, the likelier the noisier: what a scene holds is settled there."""
    return (STEPS * torch.rand(count).sqrt()).long().clamp(max=STEPS - 1)


def add_noise(latents: Tensor, noise: Tensor, times: Tensor) -> Tensor:
    signal = SIGNAL.to(latents.device)[times].view(-1, 1, 1, 1)
    return signal.sqrt() * latents + (1 - signal).sqrt() * noise


def weighted_loss(
    predicted: Tensor, noise: Tensor, times: Tensor, floor: float, cells: Tensor | None = None
) -> Tensor:
    """Squared error of the noise, weighted clamp(SNR, floor, 5) / SNR.

    cells [N, 1, h, w]: how much a place counts; their mean over the batch is taken as 1.
    """
    signal = SIGNAL.to(noise.device)[times].view(-1, 1, 1, 1)
    ratio = signal / (1 - signal)
    weight = ratio.clamp(floor, 5.0) / ratio
    if cells is not None:
        weight = weight * cells / cells.mean()
    return (weight * (predicted - noise) ** 2).mean()


def clean(predicted: Tensor, noisy: Tensor, times: Tensor) -> Tensor:
    """The latents that a noise prediction points to."""
    signal = SIGNAL.to(noisy.device)[times].view(-1, 1, 1, 1)
    return (noisy - (1 - signal).sqrt() * predicted) / signal.sqrt()


def guided(predict: Callable[..., Tensor], said: Tensor, unsaid: Tensor, scale: float) -> Predict:
    """Classifier-free guidance over `predict(latents, times, context)`; batches both halves."""
    both = torch.cat([unsaid.expand_as(said), said])

    def noise(latents: Tensor, times: Tensor) -> Tensor:
        out = predict(latents.repeat(2, 1, 1, 1), times.repeat(2), both)
        without, with_words = out.chunk(2)
        return without + scale * (with_words - without)

    return noise


@torch.no_grad()
def sample_ancestral(predict: Predict, noise: Tensor, steps: int, seed: int) -> Tensor:
    """DDPM-like steps (DDIM with eta 1) over evenly spaced times from `noise` [N, 4, H, W]."""
    generator = torch.Generator().manual_seed(seed + 1000)  # not the start's noise again
    latents, times = noise, _times(steps)
    for turn, time in enumerate(times):
        t = time.expand(len(latents)).to(latents.device)
        guess = clean(predict(latents, t), latents, t)
        if turn + 1 == len(times):
            return guess
        now, after = SIGNAL[time], SIGNAL[times[turn + 1]]
        spread = ((1 - after) / (1 - now) * (1 - now / after)).sqrt()
        direction = (latents - now.sqrt() * guess) / (1 - now).sqrt()
        fresh = torch.randn(latents.shape, generator=generator).to(latents.device)
        keep = (1 - after - spread**2).clamp(min=0).sqrt()
        latents = after.sqrt() * guess + keep * direction + spread * fresh
    return latents


@torch.no_grad()
def sample_solver(predict: Predict, noise: Tensor, steps: int) -> Tensor:
    """DPM-Solver++(2M), arXiv 2211.01095, over evenly spaced times: deterministic."""
    latents, times = noise, _times(steps)
    log_ratio = 0.5 * (SIGNAL / (1 - SIGNAL)).log()
    old, last = None, torch.tensor(0.0)
    for turn, time in enumerate(times):
        t = time.expand(len(latents)).to(latents.device)
        guess = clean(predict(latents, t), latents, t)
        if turn + 1 == len(times):
            return guess
        after = times[turn + 1]
        width = log_ratio[after] - log_ratio[time]
        target = guess
        if old is not None:
            share = width / last / 2
            target = (1 + share) * guess - share * old
        scale = (1 - SIGNAL[after]).sqrt() / (1 - SIGNAL[time]).sqrt()
        latents = scale * latents - SIGNAL[after].sqrt() * torch.expm1(-width) * target
        old, last = guess, width
    return latents


def _times(steps: int) -> Tensor:
    return torch.linspace(STEPS - 1, 0, steps + 1)[:-1].round().long()
