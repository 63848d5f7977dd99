"""Starts, growth and folds that change nothing, or exactly what they say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from comfyui_tandem.training.autoencoder import Autoencoder, rescale, start_as_identity, whiten
from comfyui_tandem.training.averages import save, start_average
from comfyui_tandem.training.diffusion import (
    SIGNAL,
    add_noise,
    clean,
    guided,
    sample_ancestral,
    sample_solver,
)
from comfyui_tandem.training.run import Average, Run, Setting
from comfyui_tandem.training.unet import build_unet
from comfyui_tandem.training.unet import start_as_identity as start_unet
from torch.nn import Linear


@pytest.fixture(autouse=True)
def still() -> None:
    torch.manual_seed(0)
    torch.set_grad_enabled(True)


@torch.no_grad()
def test_an_untrained_autoencoder_already_shows_the_coarse_picture() -> None:
    model = start_as_identity(Autoencoder())
    smooth = torch.rand(2, 3, 2, 2).repeat_interleave(32, 2).repeat_interleave(32, 3)
    shown = model.decode(model.moments(smooth * 2 - 1)[0]) / 2 + 0.5
    inner = (slice(None), slice(None), slice(4, 28), slice(4, 28))
    assert (shown[inner] - smooth[inner]).abs().mean() < 0.06


@torch.no_grad()
def test_whitening_and_scaling_change_latents_but_no_picture() -> None:
    model = start_as_identity(Autoencoder())
    pictures = torch.rand(8, 3, 64, 64) * 2 - 1
    before = model.moments(pictures)
    shown = model.decode(before[0])
    whiten(model, before[0])
    after, _ = model.moments(pictures)
    flat = after.permute(0, 2, 3, 1).reshape(-1, 4)
    assert flat.mean(0).abs().max() < 1e-3
    assert (torch.cov(flat.T) - torch.eye(4)).abs().max() < 1e-3
    torch.testing.assert_close(model.decode(after), shown, atol=1e-4, rtol=1e-3)
    rescale(model, 3 * torch.eye(4), torch.zeros(4))
    torch.testing.assert_close(model.moments(pictures)[0], 3 * after, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(model.decode(3 * after), shown, atol=1e-4, rtol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize("layout", ["stem", "base", "full"])
def test_a_new_unet_guesses_its_input(layout: str) -> None:
    unet = start_unet(build_unet(layout)).eval()
    x = torch.randn(2, 4, 16, 16)
    out = unet(x, torch.tensor([980, 850]), torch.randn(2, 77, 128)).sample
    assert torch.corrcoef(torch.stack([out.flatten(), x.flatten()]))[0, 1] > 0.9


def test_samplers_find_the_latent_that_a_perfect_prediction_points_to() -> None:
    target, noise = torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8)

    def perfect(latents: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        signal = SIGNAL[times].view(-1, 1, 1, 1)
        return (latents - signal.sqrt() * target) / (1 - signal).sqrt()

    for found in (sample_ancestral(perfect, noise, 5, 1), sample_solver(perfect, noise, 5)):
        torch.testing.assert_close(found, target, atol=1e-3, rtol=1e-3)


def test_clean_undoes_noise_and_guidance_extrapolates() -> None:
    latents, noise, times = torch.randn(2, 4, 4, 4), torch.randn(2, 4, 4, 4), torch.tensor([5, 900])
    noisy = add_noise(latents, noise, times)
    torch.testing.assert_close(clean(noise, noisy, times), latents, atol=1e-4, rtol=1e-4)
    predict = guided(
        lambda x, t, c: c[:, :1, :1, None].expand_as(x),
        torch.ones(2, 1, 1),
        torch.zeros(1, 1, 1),
        3,
    )
    assert torch.equal(predict(noisy, times), torch.full_like(noisy, 3.0))


def test_the_rate_warms_up_holds_and_falls(tmp_path: object, monkeypatch: object) -> None:
    run = Run(Setting(tmp_path, 1.0, torch.device("cpu")), "x", rate=1.0, hold=0.5, warm_up=10)
    spent = {"now": run.started}
    monkeypatch.setattr("time.process_time", lambda: spent["now"])
    assert run.learning_rate() == pytest.approx(0.1)
    run.step = 100
    assert run.learning_rate() == pytest.approx(1.0)
    spent["now"] += 30
    assert run.learning_rate() == pytest.approx(1.0)
    spent["now"] += 15
    assert 0.4 < run.learning_rate() < 0.6
    spent["now"] += 16  # past the end: the sum of what is not exact in binary may fall short of it
    assert run.learning_rate() == pytest.approx(0.02)
    assert next(run.steps(), None) is None


def test_a_log_before_the_first_step_has_no_loss(tmp_path: Path) -> None:
    run = Run(Setting(tmp_path, 1.0, torch.device("cpu")), "x", rate=1.0)
    run.log(found=1.5)
    run.loss = 0.25
    run.log()
    first, second = map(json.loads, (tmp_path / "x.log.jsonl").read_text().splitlines())
    assert (first["found"], second["loss"]) == (1.5, 0.25) and "loss" not in first


def test_weights_and_averages_come_back_and_nothing_is_young(tmp_path: Path) -> None:
    run = Run(Setting(tmp_path, 1.0, torch.device("cpu")), "x", rate=1.0)
    module = Linear(2, 2)
    average = start_average(run, module, 0.9, young=True)
    assert average.young
    for value in average.values.values():
        value.fill_(7.0)
    save(run, module, average)
    other = Linear(2, 2)
    again = start_average(Run(run.setting, "x", rate=1.0), other, 0.9, young=True)
    assert torch.equal(other.weight, module.weight) and not again.young
    assert all(bool((value == 7).all()) for value in again.values.values())


def test_weights_and_their_age_come_back(tmp_path: object) -> None:
    setting = Setting(tmp_path, 1.0, torch.device("cpu"))
    run = Run(setting, "x", rate=1.0)
    run.samples = 48
    path = run.save({"a": torch.arange(3)})
    again = Run(setting, "x", rate=1.0)
    assert torch.equal(again.resume(path)["a"], torch.arange(3))
    assert again.samples == 48


def test_the_average_follows_the_weights() -> None:
    module = Linear(2, 2)
    average = Average(module, 0.5)
    with torch.no_grad():
        module.weight.fill_(3.0)
    for _ in range(40):
        average.update(module)
    assert (average.values["weight"] - 3).abs().max() < 1e-4
