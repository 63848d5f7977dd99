"""The guidance that a UNet distilled for LCM was told in training, folded into its time MLP.

Such a UNet adds P e(w) to what its first time layer sees: W (t + P e(w)) + b. For a chosen w that
is a plain bias, b + W P e(w), and the UNet is one of SD1.5's kind again.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Any

import torch
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP
from torch import Tensor

COND_PROJ = ("time_embedding.cond_proj.weight", "time_embed.cond_proj.weight")
KEPT = "tandem_guidance"  # attachment of the MODEL: W P, [time, width of e]
BIAS = "diffusion_model.time_embed.0.bias"
UNSET = "tandem_guidance_unset"  # key of the wrapper of a MODEL without a chosen guidance
log = logging.getLogger(__name__)


def keep_guidance(model: ModelPatcher, first: Tensor, projection: Tensor) -> None:
    """Attach W P to a MODEL that nobody else has yet.

    Args:
        first: [time, base], the first time layer W.
        projection: [base, width], P; no bias.
    """
    model.set_attachments(KEPT, first.float() @ projection.float())
    model.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, UNSET, warned_sample)


def has_guidance(model: ModelPatcher) -> bool:
    return model.get_attachment(KEPT) is not None


def set_guidance(model: ModelPatcher, guidance: float) -> None:
    """Fold a guidance scale into a clone made for it. Needs `has_guidance`.

    It takes effect when ComfyUI loads the clone; other clones keep theirs.
    """
    kept: Any = model.get_attachment(KEPT)
    bias = kept @ embedded(guidance - 1, kept.shape[1])
    model.add_patches({BIAS: ("diff", (bias,))})
    model.remove_wrappers_with_key(WrappersMP.OUTER_SAMPLE, UNSET)


def warned_sample(executor: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
    """The wrapper around core's sampling of a whole run: the pictures alone would not tell."""
    log.warning(
        "This model was distilled for LCM and is sampled without its guidance: put the node LCM "
        "between the model and the sampler, or use Fast Sampler."
    )
    return executor(*args, **kwargs)


def embedded(w: float, width: int) -> Tensor:
    """[width] float: e(w), sines before cosines of 1000 w.

    Source: get_guidance_scale_embedding of diffusers' latent consistency pipelines, where w is the
    guidance scale minus one.
    """
    half = width // 2
    rates = torch.exp(-math.log(10000.0) / (half - 1) * torch.arange(half, dtype=torch.float32))
    angles = 1000.0 * w * rates
    return torch.cat([angles.sin(), angles.cos()])
