"""ControlNets made for a full UNet on one that lost blocks: every residual where it belongs.

ComfyUI takes residuals off the end of its lists, block by block: on a UNet with fewer blocks most
then meet the wrong block, or one of another shape. Here the lists of a full net are cut down to
what the compact UNet still has, at its door: whatever made them, and summed them, is left alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP

from .positions import FIT, FULL_LENGTH, Fit, OwnFeature, fit_of
from .unroll import unroll_runs


def fit_model(model: ModelPatcher, positions: Sequence[int] | None = None) -> ModelPatcher:
    """A clone on which ControlNets and T2I-Adapters made for SD1.5 act on the blocks that are left.

    Chains of them are unrolled on every run (`unroll`), on a full model too. Nets made for the
    compact UNet itself pass unchanged. A model that was here already comes back as a plain clone.
    Raises:
        BadInput: as `fit_of`.
    """
    unet: Any = model.model.diffusion_model
    fit = fit_of(unet, positions)
    patched = unroll_runs(model)
    if fit.is_full or fitted(model) is not None:
        return patched
    patched.add_wrapper_with_key(WrappersMP.APPLY_MODEL, FIT, fit)
    if unet.middle_block is None:
        patched.set_model_patch(OwnFeature.of(unet), "input_block_patch_after_skip")
    return patched


def fitted(model: ModelPatcher) -> Fit | None:
    wrappers: list[Any] = model.get_wrappers(WrappersMP.APPLY_MODEL, FIT)
    return wrappers[0] if wrappers else None


def told(model: ModelPatcher) -> str:
    """A line for people: which positions of SD1.5 the model has."""
    fit = fitted(model)
    if fit is None:
        return "full UNet: ControlNets fit as they are"
    numbers = ", ".join(map(str, fit.positions))
    middle = "and the middle" if fit.middle else "not the middle"
    return f"ControlNet residuals {numbers} of 0..{FULL_LENGTH - 1}, {middle}"
