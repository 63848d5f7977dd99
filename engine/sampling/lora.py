"""LoRAs made for the full SD1.5 on compact UNets: every module on the layers made from its own.

ComfyUI's loader goes by names: on BK-SDM Base that puts 48 of 178 modules on the wrong layers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any

import comfy.lora
import comfy.lora_convert
import comfy.ops
import comfy.sd
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from comfy.model_patcher import ModelPatcher
from comfy.weight_adapter.lora import LoRAAdapter
from torch import Tensor

from ..control.positions import FULL_LEVELS, FULL_RESNETS
from ..errors import BadInput
from .origins import namesakes, origins, same_weights
from .unet_layout import UNetLayout

INSIDE = "diffusion_model."
FOR = "made for SD1.5, or SD2 where the model is one, or for this very model"
Patches = dict[str, Any]  # by the name of the weight


@dataclass(frozen=True, slots=True)
class Applied:
    """How many modules of a LoRA found their layers.

    moved: of those applied, how many by origin: their names mean other layers here, or none.
    skipped: made for blocks that the UNet lost.
    text: of the text encoder.
    """

    unet: int
    moved: int
    skipped: int
    text: int

    def __str__(self) -> str:
        said = f"{self.unet} of {self.unet + self.skipped} modules applied"
        if self.moved:
            said += f": {self.unet - self.moved} where their names say, {self.moved} by origin"
        elif self.unet:
            said += ", all where their names say"
        if self.skipped:
            said += f"; {self.skipped} skipped, of blocks that this model lost"
        return said + (f"; {self.text} of the text encoder" if self.text else "")


def apply_lora(
    model: ModelPatcher,
    clip: comfy.sd.CLIP | None,
    weights: Mapping[str, Tensor],
    strength: float,
    clip_strength: float,
) -> tuple[ModelPatcher, comfy.sd.CLIP | None, Applied]:
    """Clones with the LoRA's weights, made for the full UNet or for this very one.

    Args:
        weights: the LoRA, in any of the forms that ComfyUI reads.
    Raises:
        BadInput: no UNet of SD1.5's kind, or a LoRA for another kind of model.
    """
    made_from = origins(model)
    layout = full_layout(model)
    given = comfy.lora_convert.convert_lora(dict(weights))
    made = comfy.lora.load_lora(given, _names(layout), log_missing=False)
    unet: Any = model.model.diffusion_model
    by_name = same_weights(unet, full_unet(layout), namesakes(model))
    targets, placed = by_name, _placed(by_name, made)
    if len(placed) < len(made) or _strange(unet, placed):  # else it was trained on this very UNet
        targets = same_weights(unet, full_unet(layout), made_from)
        placed = _placed(targets, made)
    if strange := _strange(unet, placed):
        raise BadInput("LoRA", f"of another shape than {strange}", f"choose one {FOR}")
    encoder, text = _on_text(clip, given, clip_strength)
    if not made and not text:
        raise BadInput("LoRA", sorted(weights)[:3], f"choose one {FOR}")
    patched = model.clone()
    patched.add_patches({INSIDE + key: patch for key, patch in placed.items()}, strength)
    applied = _modules(placed)
    moved = _modules(k for k in made if k in targets and targets[k] != by_name.get(k))
    return patched, encoder, Applied(applied, moved, _modules(made) - applied, text)


def full_layout(model: ModelPatcher) -> UNetLayout:
    """Of the full UNet that a compact one was made from.

    With attention in the deepest level too, which SD1.5 lacks: so a LoRA that was trained on a
    UNet without that level, where the levels' names are shifted, is understood as well.
    """
    unet: Any = model.model.diffusion_model
    config = model.model.model_config.unet_config
    mult = tuple(unet.channel_mult)
    return UNetLayout(
        channels=unet.model_channels,
        context=config["context_dim"],
        channel_mult=mult + mult[-1:] * (FULL_LEVELS - len(mult)),
        resnets=(FULL_RESNETS,) * FULL_LEVELS,
        depth_in=(1,) * (FULL_LEVELS * FULL_RESNETS),
        depth_middle=1,
        depth_out=(1,) * (FULL_LEVELS * (FULL_RESNETS + 1)),
        linear=config["use_linear_in_transformer"],
    )


@cache
def full_unet(layout: UNetLayout) -> UNetModel:
    """Without weights: names, kinds and shapes."""
    operations = comfy.ops.disable_weight_init
    return UNetModel(**layout.config(), num_heads=1, device="meta", operations=operations)


def _names(layout: UNetLayout) -> dict[str, str]:
    """All names that ComfyUI knows for the full UNet's weights."""
    weights = {INSIDE + key: value for key, value in full_unet(layout).state_dict().items()}
    stand_in = SimpleNamespace(
        state_dict=lambda: weights, model_config=SimpleNamespace(unet_config=layout.config())
    )
    known = comfy.lora.model_lora_keys_unet(stand_in, {})
    return {name: key.removeprefix(INSIDE) for name, key in known.items()}


def _placed(targets: Mapping[str, str], made: Patches) -> Patches:
    """The patches of weights that the compact UNet has, under its names."""
    return {targets[key]: patch for key, patch in made.items() if key in targets}


def _strange(unet: UNetModel, placed: Patches) -> str | None:
    """A weight that its patch does not fit."""
    weights = unet.state_dict()
    return next((key for key, patch in placed.items() if not _fits(patch, weights[key])), None)


def _fits(patch: Any, weight: Tensor) -> bool:
    """Whether a plain LoRA has the weight's shape; other forms are left to ComfyUI."""
    if not isinstance(patch, LoRAAdapter):
        return True
    up, down, _, third, *_ = patch.weights
    if third is not None:  # pyright: ignore[reportUnnecessaryComparison] - it mostly is
        return True
    return up.shape[0] == weight.shape[0] and down.flatten(1).shape[1] == weight[0].numel()


def _on_text(
    clip: comfy.sd.CLIP | None, given: Mapping[str, Tensor], strength: float
) -> tuple[comfy.sd.CLIP | None, int]:
    if clip is None:
        return None, 0
    names = comfy.lora.model_lora_keys_clip(clip.cond_stage_model, {})
    patches = comfy.lora.load_lora(given, names, log_missing=False)
    encoder = clip.clone()
    encoder.add_patches(patches, strength)
    return encoder, _modules(patches)


def _modules(weights: Iterable[str]) -> int:
    return len({key.rpartition(".")[0] for key in weights})
