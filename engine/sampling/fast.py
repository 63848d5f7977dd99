"""Few-step sampling in one call: hints, unrolled chain, LCM, core's own sampler."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import comfy.model_management
import comfy.sample
import comfy.samplers
import comfy.utils
from comfy.model_patcher import ModelPatcher

from ..conditions import Hint
from ..control import apply_hints
from ..control.chain import Conditioning
from ..control.unroll import unroll_runs
from ..errors import BadInput
from .acting import Acting, Reach, acting
from .attention_fit import fit_attention
from .lcm import MOST_STEPS, is_lcm, lcm_model

BOTH_SIDES = "disable_cfg1_optimization"  # core's: the negative is computed at cfg 1 too
Latent = dict[str, Any]  # ComfyUI's LATENT
Sides = tuple[Conditioning, Conditioning]


@dataclass(frozen=True, slots=True)
class Numbers:
    """How to sample.

    cfg: 1 costs no second pass; the negative prompt then does nothing.
    guidance: folded into a full LCM UNet that does not come from `lcm_model` already.
    denoise: share of the noise to start from, above 0.
    """

    seed: int = 0
    steps: int = 4
    cfg: float = 1.0
    guidance: float = 8.0
    denoise: float = 1.0


@dataclass(frozen=True, slots=True)
class FastRun:
    """One run, ready to sample."""

    model: ModelPatcher
    sides: Sides
    numbers: Numbers
    sampler: comfy.samplers.KSampler
    acting: tuple[Acting, ...]

    def sample(self, latent: Latent, callback: Callable[..., None] | None = None) -> Latent:
        """The latent that core's KSampler node would give for the same model and conditioning."""
        numbers = self.numbers
        start = comfy.sample.fix_empty_latent_channels(self.model, latent["samples"])
        noise = comfy.sample.prepare_noise(start, numbers.seed, latent.get("batch_index"))
        samples = self.sampler.sample(
            noise,
            *self.sides,
            cfg=numbers.cfg,
            latent_image=start,
            denoise_mask=latent.get("noise_mask"),
            callback=callback,
            disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
            seed=numbers.seed,
        )
        device = comfy.model_management.intermediate_device()
        return {**latent, "samples": samples.to(device)}


def fast_run(
    model: ModelPatcher,
    positive: Conditioning,
    negative: Conditioning | None,
    hints: Sequence[Hint],
    numbers: Numbers,
    vae: Any = None,
) -> FastRun:
    """Everything set for LCM, chains unrolled, compact UNets fitted.

    Args:
        vae: only for ControlNets that ask for one.
    Raises:
        BadInput: no negative where cfg needs one, a denoise too small for so few steps, or a
            model that is no LCM's kind.
    """
    if negative is None and numbers.cfg != 1.0:
        raise BadInput("negative", None, "connect one, or set cfg to 1")
    least = numbers.steps / MOST_STEPS
    if int(numbers.steps / numbers.denoise) > MOST_STEPS:  # that core takes a piece of
        do = f"give at least {least:.2f} with {numbers.steps} steps"
        raise BadInput("denoise", numbers.denoise, do)
    patched = unroll_runs(model)
    with suppress(BadInput):  # attentions of another kind of model stay where they are
        patched = fit_attention(patched)
    if not is_lcm(patched):
        patched = lcm_model(patched, numbers.guidance)
    sampler = comfy.samplers.KSampler(
        patched,
        steps=numbers.steps,
        device=patched.load_device,
        sampler="lcm",
        scheduler="simple",
        denoise=numbers.denoise,
        model_options=patched.model_options,
    )
    (with_hints, against), told = apply_hints((positive, negative or positive), hints, vae)
    reach = Reach(
        sampler.sigmas,
        patched.get_model_object("model_sampling"),
        negative=numbers.cfg != 1.0 or bool(patched.model_options.get(BOTH_SIDES)),
    )
    rows = acting(positive, negative, hints, told, reach)
    return FastRun(patched, (with_hints, against), numbers, sampler, rows)
