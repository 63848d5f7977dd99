"""Latent consistency as diffusers' scheduler has it, and what a student is taught."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from comfyui_tandem.training.consistency import (
    GRID,
    consistent,
    grid_time,
    pseudo_huber,
    sample_lcm,
    sampled_times,
    solver_step,
)
from comfyui_tandem.training.diffusion import add_noise
from comfyui_tandem.training.train_lcm import Lesson
from diffusers import LCMScheduler
from torch import Tensor


@pytest.fixture(autouse=True)
def still() -> None:
    torch.manual_seed(0)


def scheduler(steps: int) -> LCMScheduler:
    made = LCMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False
    )
    made.set_timesteps(steps)
    return made


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 7, 8, 50])
def test_steps_are_the_schedulers(steps: int) -> None:
    assert sampled_times(steps) == scheduler(steps).timesteps.tolist()


def guess(x: Tensor, times: Tensor) -> Tensor:
    """Stands for a UNet."""
    return torch.tanh(x) * (0.5 + times.view(-1, 1, 1, 1) / 2000)


@pytest.mark.parametrize("steps", [1, 2, 4, 5])
def test_latents_are_the_schedulers(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    noise, fresh = torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8)
    module = "diffusers.schedulers.scheduling_lcm.randn_tensor"
    monkeypatch.setattr(module, lambda *_, **__: fresh)
    monkeypatch.setattr(torch, "randn", lambda *_, **__: fresh)
    theirs, latents = scheduler(steps), noise
    for time in theirs.timesteps:
        out = guess(latents, time.expand(2))
        latents = theirs.step(out, time, latents, return_dict=False)[0]
    found = sample_lcm(guess, noise, steps, seed=1)
    torch.testing.assert_close(found, latents, atol=1e-4, rtol=1e-4)


def test_the_samplers_noise_is_its_own_and_of_the_seed() -> None:
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(5))
    seen: list[Tensor] = []

    def nothing(x: Tensor, times: Tensor) -> Tensor:
        seen.append(x)
        return x  # almost no signal is left: the second step sees little but new noise

    first, again, other = (sample_lcm(nothing, noise, 2, seed) for seed in (5, 5, 6))
    assert torch.equal(first, again) and not torch.equal(first, other)
    together = torch.stack([seen[0].flatten(), seen[1].flatten()])
    assert torch.corrcoef(together)[0, 1].abs() < 0.9


def test_a_perfect_teacher_steps_along_the_path() -> None:
    latents, noise = torch.randn(3, 4, 8, 8), torch.randn(3, 4, 8, 8)
    number = torch.tensor([GRID, 20, 1])
    noisy = add_noise(latents, noise, grid_time(number))
    before = solver_step(noise, noisy, number)
    on_path = add_noise(latents, noise, grid_time(number - 1).clamp(min=0))
    torch.testing.assert_close(before[:2], on_path[:2], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(before[2], latents[2], atol=1e-4, rtol=1e-4)


def test_the_loss_is_absolute_far_off_and_square_near() -> None:
    zero = torch.zeros(4)
    assert pseudo_huber(torch.full((4,), 2.0), zero) == pytest.approx(1.999, abs=1e-5)
    assert pseudo_huber(torch.full((4,), 1e-5), zero) == pytest.approx(5e-8, rel=0.01)


def test_a_lesson_guides_steps_and_jumps() -> None:
    """Against the same written out for one sample a time."""
    asked: list[tuple[Tensor, Tensor]] = []

    def network(scale: float) -> Any:
        def call(x: Tensor, times: Tensor, context: Tensor, return_dict: bool) -> tuple[Tensor]:
            asked.append((times, context))
            return (scale * guess(x, times) + context[:, :1, :1, None],)

        return call

    said, unsaid = torch.randn(3, 5, 7), torch.randn(3, 5, 7)
    noisy, number = torch.randn(3, 4, 8, 8), torch.tensor([50, 7, 1])
    lesson = Lesson(network(1.0), network(0.7), unsaid, guidance=3.0)
    found = lesson(noisy, number, said)
    assert asked[0][0].tolist() == [999, 139, 19] * 2
    assert torch.equal(asked[0][1], torch.cat([unsaid, said]))
    for row in range(3):
        own, at = slice(row, row + 1), number[row : row + 1]
        times = grid_time(at)
        with_words, without = (
            guess(noisy[own], times) + context[own, :1, :1, None] for context in (said, unsaid)
        )
        predicted = without + 3.0 * (with_words - without)
        before = solver_step(predicted, noisy[own], at)
        if at == 1:
            torch.testing.assert_close(found[own], before)
            continue
        jump = 0.7 * guess(before, times - 20) + said[own, :1, :1, None]
        wanted = consistent(jump, before, times - 20)
        torch.testing.assert_close(found[own], wanted, atol=1e-5, rtol=1e-5)
