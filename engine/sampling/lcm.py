"""Latent consistency sampling (arXiv 2310.04378) as core's own sampling, and only the right way.

A model distilled for LCM knows 50 time steps. Its sampler draws new noise after every step, and
only the scheduler `simple` meets the steps it knows at every count; other settings give blurred or
burnt pictures without a word. So the MODEL itself checks what a sampler node does with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import comfy.k_diffusion.sampling as k_sampling
import comfy.model_sampling
import comfy.samplers
import torch
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP
from comfy_extras.nodes_model_advanced import LCM, ModelSamplingDiscreteDistilled
from torch import Tensor

from ..errors import BadInput
from .guidance import has_guidance, set_guidance

KEY = "tandem_lcm"
MOST_STEPS = ModelSamplingDiscreteDistilled.original_timesteps
OTHER_STREAM = 0x9E3779B97F4A7C15  # far from the seeds people count through
SAME = 1e-4  # relative; neighbouring time steps differ by some percent


class LCMSampling(ModelSamplingDiscreteDistilled, LCM):
    """Core's 50 time steps and boundary condition, as its ModelSamplingDiscrete node makes them."""


def lcm_model(model: ModelPatcher, guidance: float) -> ModelPatcher:
    """A clone that samples as LCM, and refuses samplers and schedulers that would spoil it.

    Args:
        guidance: scale folded into a UNet that was distilled with a guidance embedding; others
            have theirs built in.
    Raises:
        BadInput: the model predicts something else than noise, or was here before.
    """
    if is_lcm(model):
        raise BadInput("model", "one from LCM already", "give the model before it")
    sampling = model.get_model_object("model_sampling")
    others = (comfy.model_sampling.V_PREDICTION, comfy.model_sampling.X0)  # of EPS, to core
    if not isinstance(sampling, comfy.model_sampling.EPS) or isinstance(sampling, others):
        raise BadInput("model", "one that does not predict noise", "give one distilled for LCM")
    patched = model.clone()
    patched.add_object_patch("model_sampling", LCMSampling(model.model.model_config))
    patched.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, KEY, checked_sample)
    if has_guidance(patched):
        set_guidance(patched, guidance)
    return patched


def is_lcm(model: ModelPatcher) -> bool:
    return bool(model.get_wrappers(WrappersMP.OUTER_SAMPLE, KEY))


def lcm_sigmas(model: ModelPatcher, steps: int) -> Tensor:
    """[steps + 1] sigmas of diffusers' LCMScheduler, for a model of `lcm_model`.

    Raises:
        BadInput: more steps than the model knows.
    """
    if not 0 < steps <= MOST_STEPS:
        raise BadInput("steps", steps, f"give 1 to {MOST_STEPS}")
    return comfy.samplers.simple_scheduler(model.get_model_object("model_sampling"), steps)


def lcm_sampler() -> comfy.samplers.KSAMPLER:
    """Core's `lcm`, its noise independent of the noise it starts from."""
    return comfy.samplers.KSAMPLER(sample_lcm)


@torch.no_grad()
def sample_lcm(
    model: Any,
    x: Tensor,
    sigmas: Tensor,
    extra_args: dict[str, Any] | None = None,
    callback: Callable[..., None] | None = None,
    disable: bool | None = None,
) -> Tensor:
    """Core's sampler with `own_noise`: its own would start, on the CPU, with the initial noise."""
    noise = own_noise(x, (extra_args or {}).get("seed"))
    return k_sampling.sample_lcm(model, x, sigmas, extra_args, callback, disable, noise)


def own_noise(x: Tensor, seed: int | None) -> Callable[..., Tensor]:
    """Draws noise like x; always on the CPU, so that pictures are the same on every device."""
    generator = torch.Generator()
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed((seed + OTHER_STREAM) % 2**64)

    def draw(*_: Any) -> Tensor:
        return torch.randn(x.shape, dtype=x.dtype, generator=generator).to(x.device)

    return draw


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a sampler node wants to do with the model."""

    sampler: Any
    sigmas: Tensor

    def checked(self, schedule: Any) -> Any:
        """The sampler to run."""
        function = getattr(self.sampler, "sampler_function", None)
        if function not in (k_sampling.sample_lcm, sample_lcm):
            name = getattr(function, "__name__", type(self.sampler).__name__)
            raise BadInput("sampler", name, "choose lcm: this MODEL comes from LCM")
        if not is_simple(self.sigmas, schedule):
            rounded = [round(float(sigma), 3) for sigma in self.sigmas]
            raise BadInput("sigmas", rounded, "choose the scheduler simple, at most 50 steps")
        if function is sample_lcm or "noise_sampler" in self.sampler.extra_options:
            return self.sampler
        return comfy.samplers.KSAMPLER(sample_lcm, inpaint_options=self.sampler.inpaint_options)


def checked_sample(
    executor: Any,
    noise: Tensor,
    latent: Tensor,
    sampler: Any,
    sigmas: Tensor,
    *rest: Any,
    **more: Any,
) -> Tensor:
    """The wrapper around core's sampling of a whole run."""
    schedule = executor.class_obj.model_patcher.get_model_object("model_sampling")
    return executor(noise, latent, _Asked(sampler, sigmas).checked(schedule), sigmas, *rest, **more)


def is_simple(sigmas: Tensor, schedule: Any) -> bool:
    """Whether they are `simple` ones, or a piece of these: denoise under 1, start and end steps.

    A piece that ends early may go to 0 at once, as without leftover noise.
    """
    count = len(sigmas)
    wanted = sigmas.cpu()
    told = count - 1 if count > 1 and wanted[-1] == 0 else count
    for steps in range(max(count - 1, 1), MOST_STEPS + 1):
        pieces = comfy.samplers.simple_scheduler(schedule, steps).unfold(0, count, 1)
        same = torch.isclose(pieces[:, :told], wanted[:told], rtol=SAME, atol=0.0)
        if same.all(dim=1).any():
            return True
    return False
