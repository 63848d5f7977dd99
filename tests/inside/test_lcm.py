"""Latent consistency sampling is diffusers' own, and the model refuses what would spoil it."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from .narrow import CONTEXT, conditioning, model_of, random_unet, sample

pytestmark = pytest.mark.comfy
GUIDANCE, EMBEDDING, SEED = 8.0, 256, 1
LATENT_SCALE = 0.18215
LCM_RUN = {"cfg": 1.0, "sampler": "lcm", "scheduler": "simple"}


@cache
def distilled() -> Any:
    """A Tiny UNet with a guidance embedding, in diffusers."""
    return random_unet("tiny", time_cond_proj_dim=EMBEDDING)


@cache
def plain_model() -> Any:
    return model_of(distilled())


def lcm(guidance: float = GUIDANCE) -> Any:
    from comfyui_tandem.engine.sampling.lcm import lcm_model

    return lcm_model(plain_model(), guidance)


def theirs(guidance: float) -> Any:
    """[1, 256], by diffusers' own function."""
    import torch
    from diffusers.pipelines.latent_consistency_models.pipeline_latent_consistency_text2img import (
        LatentConsistencyModelPipeline,
    )

    embed: Any = LatentConsistencyModelPipeline.get_guidance_scale_embedding
    return embed(None, torch.tensor([guidance - 1]), EMBEDDING)


@pytest.mark.parametrize("guidance", [2.0, 7.0, 13.0])
def test_the_folded_guidance_equals_the_embedding(guidance: float) -> None:
    import comfy.model_management
    import torch

    model = lcm(guidance)
    comfy.model_management.load_models_gpu([model])
    x, context = torch.randn(1, 4, 8, 8), torch.randn(1, 77, CONTEXT)
    times = torch.tensor([400])
    with torch.no_grad():
        expected = distilled()(x, times, context, timestep_cond=theirs(guidance)).sample
        ignored = distilled()(x, times, context).sample
        found = model.model.diffusion_model(x, times.float(), context=context)
    assert (found - expected).abs().max() < 1e-5
    assert (ignored - expected).abs().max() > 0.01


@pytest.mark.parametrize("steps", [1, 2, 4, 5, 8])
def test_latents_are_those_of_diffusers_scheduler(steps: int) -> None:
    import comfy.sample
    import torch
    from comfyui_tandem.engine.sampling.lcm import OTHER_STREAM
    from diffusers import LCMScheduler

    scheduler = LCMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    scheduler.set_timesteps(steps)
    positive = conditioning()
    x = comfy.sample.prepare_noise(torch.zeros(1, 4, 8, 8), SEED)
    denoised, generator = x, torch.Generator().manual_seed(SEED + OTHER_STREAM)
    with torch.no_grad():
        for time in scheduler.timesteps:
            predicted = distilled()(x, time, positive[0][0], timestep_cond=theirs(GUIDANCE)).sample
            x, denoised = scheduler.step(predicted, time, x, generator=generator, return_dict=False)
    found = sample(lcm(), positive, conditioning(1), steps=steps, **LCM_RUN) * LATENT_SCALE
    assert (found - denoised).norm() < 1e-5 * denoised.norm()


def test_the_guidance_changes_without_a_reload_and_leaves_the_model_alone() -> None:
    import torch

    positive, negative = conditioning(), conditioning(1)
    low, high = lcm(2.0), lcm(13.0)
    first = sample(low, positive, negative, **LCM_RUN)
    other = sample(high, positive, negative, **LCM_RUN)
    again = sample(low, positive, negative, **LCM_RUN)
    assert torch.equal(first, again) and (first - other).norm() > 0.01 * first.norm()
    assert low.model is high.model is plain_model().model and not plain_model().patches


def test_sampling_without_a_guidance_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """Once a run, only of a model that has a guidance to choose, behind other nodes too."""
    from comfyui_tandem.nodes.models import FitControlNet

    sides = conditioning(), conditioning(1)
    fitted, summary = FitControlNet.execute(plain_model()).result
    assert summary.endswith("choose its guidance with LCM or Fast Sampler")
    for model, lines in ((fitted, 1), (lcm(), 0), (model_of(random_unet("tiny")), 0)):
        caplog.clear()
        sample(model, *sides, steps=2, **LCM_RUN)
        warned = [record for record in caplog.records if "put the node LCM" in record.message]
        assert len(warned) == lines


@pytest.mark.parametrize("scheduler", ["sgm_uniform", "normal", "karras", "ddim_uniform", "beta"])
def test_other_schedulers_are_refused(scheduler: str) -> None:
    from comfyui_tandem.engine.errors import BadInput

    with pytest.raises(BadInput, match="choose the scheduler simple"):
        sample(
            lcm(), conditioning(), conditioning(1), steps=5, **(LCM_RUN | {"scheduler": scheduler})
        )


@pytest.mark.parametrize(
    "sampler", ["euler", "dpmpp_2m", "uni_pc", "euler_ancestral", "dpmpp_2s_ancestral", "dpmpp_sde"]
)
def test_other_samplers_are_refused(sampler: str) -> None:
    from comfyui_tandem.engine.errors import BadInput

    with pytest.raises(BadInput, match="choose lcm"):
        sample(lcm(), conditioning(), conditioning(1), **(LCM_RUN | {"sampler": sampler}))


def test_pieces_of_the_schedule_are_taken() -> None:
    """Denoise under 1, start and end steps, an end without leftover noise."""
    import torch
    from comfyui_tandem.engine.sampling.lcm import is_simple, lcm_sigmas

    model = lcm()
    schedule = model.get_model_object("model_sampling")
    sigmas = lcm_sigmas(model, 8)
    assert len(sigmas) == 9 and is_simple(sigmas[3:], schedule) and is_simple(sigmas[:4], schedule)
    assert is_simple(torch.cat([sigmas[:4], torch.zeros(1)]), schedule)
    assert not is_simple(torch.cat([sigmas[:4] * 1.01, torch.zeros(1)]), schedule)
    assert not is_simple(sigmas * 1.01, schedule)


@pytest.mark.parametrize("kind", ["V_PREDICTION", "X0"])
def test_a_model_that_predicts_no_noise_is_refused(kind: str) -> None:
    import comfy.model_sampling
    from comfyui_tandem.engine.errors import BadInput
    from comfyui_tandem.engine.sampling.lcm import lcm_model

    class Sampling(comfy.model_sampling.ModelSamplingDiscrete, getattr(comfy.model_sampling, kind)):
        pass

    model = plain_model().clone()
    model.add_object_patch("model_sampling", Sampling())
    with pytest.raises(BadInput, match="does not predict noise"):
        lcm_model(model, GUIDANCE)


def test_renoise_is_not_the_initial_noise() -> None:
    import comfy.sample
    import torch
    from comfyui_tandem.engine.sampling.lcm import own_noise

    x = torch.zeros(2, 4, 8, 8)
    initial, draw = comfy.sample.prepare_noise(x, SEED), own_noise(x, SEED)
    first, second = draw(), draw()
    for a, b in ((initial, first), (initial, second), (first, second)):
        assert torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1].abs() < 0.2
    assert torch.equal(own_noise(x, SEED)(), first)


def test_the_node_sets_sampler_and_sigmas_and_refuses_a_second_one() -> None:
    import torch
    from comfyui_tandem.engine.errors import BadInput
    from comfyui_tandem.nodes.models import LatentConsistency

    model, sampler, sigmas, summary = LatentConsistency.execute(plain_model(), 4, 8.0).result
    assert summary == "sampler lcm, scheduler simple, 4 steps, guidance 8"
    schedule = model.get_model_object("model_sampling")
    times = [int(schedule.timestep(sigma)) for sigma in sigmas[:-1]]
    assert times == [999, 759, 499, 259] and sigmas[-1] == 0
    import comfy.sample

    latent = torch.zeros(1, 4, 8, 8)
    noise = comfy.sample.prepare_noise(latent, SEED)
    custom = comfy.sample.sample_custom(
        model, noise, 1.0, sampler, sigmas, conditioning(), conditioning(1), latent,
        disable_pbar=True, seed=SEED,
    )  # fmt: skip
    stock = sample(model, conditioning(), conditioning(1), steps=4, **LCM_RUN)
    assert torch.equal(custom, stock)
    with pytest.raises(BadInput, match="LCM already"):
        LatentConsistency.execute(model, 4, 8.0)
