"""Replaced attentions (IP-Adapters) on compact UNets: each on the layer made from its own.

Other packs name attentions by SD1.5's blocks; on a UNet with fewer blocks these are others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from comfy.ldm.modules.attention import SpatialTransformer
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from .origins import MIDDLE, Place, Places, block_at, origins

KEY = "tandem_attention"
REPLACED = "patches_replace"  # in transformer_options: kind -> {block: patch}
KINDS = ("attn1", "attn2")
FULL_ATTENTIONS: tuple[Place, ...] = (
    *(("input", block) for block in (1, 2, 4, 5, 7, 8)),
    MIDDLE,
    *(("output", block) for block in range(3, 12)),
)  # SD1.5's, in the order of their computation

Patch = Callable[..., Any]
Patches = Mapping[tuple[Any, ...], Patch]  # ("output", 4) or ("output", 4, index in the block)


@dataclass(frozen=True, slots=True)
class AtOrigin:
    """A patch that is told the full UNet's block and number: some change their weight by these."""

    patch: Patch
    origin: Place

    def __call__(self, *tensors_and_options: Any) -> Any:
        *tensors, options = tensors_and_options
        number = FULL_ATTENTIONS.index(self.origin)
        told = {**options, "block": self.origin, "transformer_index": number}
        return self.patch(*tensors, told)


@dataclass(frozen=True, slots=True)
class AttentionFit:
    """The wrapper around ComfyUI's apply_model.

    made: for each of SD1.5's attentions that is left, the compact UNet's block made from it.
    """

    made: Places

    def __call__(
        self,
        executor: Callable[..., Tensor],
        x: Tensor,
        t: Tensor,
        c_concat: Tensor | None = None,
        c_crossattn: Tensor | None = None,
        control: Any = None,
        transformer_options: Mapping[str, Any] = MappingProxyType({}),
        **kwargs: Any,
    ) -> Tensor:
        if REPLACED in transformer_options:
            replaced = {
                kind: self.placed(patches) if kind in KINDS else patches
                for kind, patches in transformer_options[REPLACED].items()
            }
            transformer_options = {**transformer_options, REPLACED: replaced}
        return executor(x, t, c_concat, c_crossattn, control, transformer_options, **kwargs)

    def placed(self, patches: Patches) -> Patches:
        """Under the compact UNet's blocks; as they are if they name each of its attentions."""
        if {place[:2] for place in patches} == set(self.made.values()):
            return patches
        return {
            (*self.made[origin], *place[2:]): AtOrigin(patch, origin)
            for place, patch in patches.items()
            if (origin := (place[0], place[1])) in self.made
        }


def fit_attention(model: ModelPatcher) -> ModelPatcher:
    """A clone on which attention patches for SD1.5's blocks act on the blocks made from them.

    A full model, or one that was here already, comes back as a plain clone.
    Raises:
        BadInput: no UNet of SD1.5's kind.
    """
    patched = model.clone()
    unet: Any = model.model.diffusion_model
    made = {
        origin: place
        for place, origin in origins(model).items()
        if origin in FULL_ATTENTIONS
        and any(isinstance(layer, SpatialTransformer) for layer in block_at(unet, place))
    }
    full = len(made) == len(FULL_ATTENTIONS)
    if not full and not patched.get_wrappers(WrappersMP.APPLY_MODEL, KEY):
        patched.add_wrapper_with_key(WrappersMP.APPLY_MODEL, KEY, AttentionFit(made))
    return patched
