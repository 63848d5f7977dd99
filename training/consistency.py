"""Latent consistency (arXiv 2310.04378): the function, its teacher's step, its loss and sampler."""

from __future__ import annotations

import torch
from torch import Tensor

from .diffusion import SIGNAL, STEPS, Predict, add_noise, clean

GRID = 50  # time steps that a distilled model knows
SKIP = STEPS // GRID  # between two of them; also how far the teacher goes at once
TIME_SCALE, SIGMA_DATA = 10.0, 0.5
HUBER = 1e-3


def grid_time(number: Tensor) -> Tensor:
    """Time steps 19, 39 .. 999 of the grid's points 1 .. 50."""
    return SKIP * number - 1


def consistent(predicted: Tensor, noisy: Tensor, times: Tensor) -> Tensor:
    """f = c_skip x + c_out x0: the latents at the end of the path; [N, 4, h, w].

    s = 10 t, c_skip = .25 / (s^2 + .25), c_out = s / sqrt(s^2 + .25), as diffusers' LCMScheduler.
    """
    scaled = TIME_SCALE * times.to(noisy.dtype).view(-1, 1, 1, 1)
    total = scaled**2 + SIGMA_DATA**2
    keep, change = SIGMA_DATA**2 / total, scaled / total.sqrt()
    return keep * noisy + change * clean(predicted, noisy, times)


def solver_step(predicted: Tensor, noisy: Tensor, number: Tensor) -> Tensor:
    """DDIM from grid point `number` to the one before; from the first to the clean latents."""
    times = grid_time(number)
    guess = clean(predicted, noisy, times)
    signal = SIGNAL.to(noisy.device)[(times - SKIP).clamp(min=0)].view(-1, 1, 1, 1)
    before = signal.sqrt() * guess + (1 - signal).sqrt() * predicted
    return torch.where((number == 1).view(-1, 1, 1, 1), guess, before)


def pseudo_huber(found: Tensor, wanted: Tensor) -> Tensor:
    """Mean of sqrt(d^2 + c^2) - c over elements, c = 0.001."""
    return (((found - wanted) ** 2 + HUBER**2).sqrt() - HUBER).mean()


def sampled_times(steps: int) -> list[int]:
    """What so many steps visit of the grid: 999, 759, 499, 259 of four, as LCMScheduler."""
    return [int(grid_time(torch.tensor(GRID - turn * GRID // steps))) for turn in range(steps)]


@torch.no_grad()
def sample_lcm(predict: Predict, noise: Tensor, steps: int, seed: int) -> Tensor:
    """From `noise` [N, 4, h, w]: jumps to the end of the path, and half-way back with new noise."""
    generator = torch.Generator().manual_seed(seed + 1000)  # not the start's noise again
    latents, times = noise, sampled_times(steps)
    for turn, time in enumerate(times):
        t = torch.full((len(latents),), time, device=latents.device)
        latents = consistent(predict(latents, t), latents, t)
        if turn + 1 < steps:
            fresh = torch.randn(latents.shape, generator=generator).to(latents.device)
            latents = add_noise(latents, fresh, torch.full_like(t, times[turn + 1]))
    return latents
