"""What of SD1.5 a compact model still has, for people: what is made for SD1.5 acts there alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP

from ..control.fit import fitted, told
from .attention_fit import FULL_ATTENTIONS, KEY
from .guidance import UNSET
from .lora import full_layout, full_unet
from .origins import origins, same_weights

BLOCKS = ("input_blocks.", "middle_block.", "output_blocks.")
FIRST = "input_blocks.0."  # the one convolution outside the blocks, in diffusers' form


def summary_of(model: ModelPatcher) -> str:
    """Of a model of `fit_model` and `fit_attention`: its positions, attentions, LoRA modules, and
    the guidance that it still needs."""
    lines = [told(model)]
    if fitted(model) is not None:
        modules, all_modules = lora_modules(model)
        lines.append(
            f"{attentions(model)} of {len(FULL_ATTENTIONS)} attentions, {modules} of {all_modules} "
            "modules of a LoRA"
        )
    if model.get_wrappers(WrappersMP.OUTER_SAMPLE, UNSET):
        lines.append("distilled for LCM: choose its guidance with LCM or Fast Sampler")
    return "; ".join(lines)


def attentions(model: ModelPatcher) -> int:
    """How many of SD1.5's 16 attentions a patch for one of them reaches."""
    found: list[Any] = model.get_wrappers(WrappersMP.APPLY_MODEL, KEY)
    return len(found[0].made) if found else len(FULL_ATTENTIONS)


def lora_modules(model: ModelPatcher) -> tuple[int, int]:
    """How many modules the model has of SD1.5's, and SD1.5's: those that a whole LoRA changes,
    every linear layer and convolution of the blocks."""
    layout = full_layout(model)
    sd15 = replace(layout, depth_in=(1,) * 6 + (0,) * 2, depth_out=(0,) * 3 + (1,) * 9)
    full = full_unet(sd15)
    unet: Any = model.model.diffusion_model
    modules = [
        name
        for name, weight in full.state_dict().items()
        if weight.ndim > 1 and name.startswith(BLOCKS) and not name.startswith(FIRST)
    ]
    reached = same_weights(unet, full, origins(model))
    return sum(name in reached for name in modules), len(modules)
