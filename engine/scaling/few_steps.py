"""The scales of a chain by two steps of sampling, thrown away: for nets of other packs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import comfy.sample
import comfy.samplers
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ..conditions import Hint
from ..control.chain import Conditioning
from ..sampling.lcm import is_lcm, lcm_sampler
from .apply import apply_estimated, ledgers_of
from .scale import Scales
from .settings import Settings

STEPS = 20  # of the schedule whose first steps they are
SAMPLED = 2  # as many as an estimator looks at
CFG = 1.0  # the conditional half alone is measured


def scales_by_few_steps(
    model: ModelPatcher,
    sides: Sequence[Conditioning],
    hints: Sequence[Hint],
    start: Tensor,
    seed: int,
    settings: Settings,
    vae: Any = None,
) -> Scales:
    """What a run from this seed would measure.

    Args:
        start: latents [B, C, h, w] of the size to sample; what they hold does not matter much,
            the first steps are nearly all noise.
        vae: only for ControlNets that ask for one.
    """
    (positive, negative), ledger = apply_estimated(sides, hints, settings, vae)
    if ledger not in ledgers_of(positive):  # every hint was left out
        return Scales(ledger.asked)
    latent = comfy.sample.fix_empty_latent_channels(model, start)
    sigmas = comfy.samplers.calculate_sigmas(
        model.get_model_object("model_sampling"), "simple", STEPS
    )[: SAMPLED + 1]
    sampled = comfy.sample.sample_custom(
        model,
        comfy.sample.prepare_noise(latent, seed),
        CFG,
        lcm_sampler() if is_lcm(model) else comfy.samplers.sampler_object("euler"),
        sigmas,
        positive,
        negative,
        latent,
        disable_pbar=True,
        seed=seed,
    )
    return Scales(tuple(row.scale for row in ledger.read(sampled)))
