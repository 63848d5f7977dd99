"""A MODEL whose UNet runs as an exported file: all else of it, samplers and wrappers, stays.

The forward that core's own wrappers end in is replaced, so what other nodes wrap around the UNet
still does its part. What they change inside it cannot: the graph is refused to such runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import comfy.hooks
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ..control.features import hide_features
from ..control.positions import Control, OwnFeature
from ..errors import BadInput
from .unet import OnnxUNet

KEY = "tandem_exported"
INSIDE = "diffusion_model."
FORWARD = f"{INSIDE}_forward"
UNPATCHED = "take that node out, or Run Exported Model"


def run_exported(model: ModelPatcher, unet: OnnxUNet) -> ModelPatcher:
    """A clone that computes by the exported UNet; the model given stays as it is.

    Raises:
        BadInput: LoRAs or other patches are on the model, or it is exported already.
    """
    if is_exported(model):
        raise BadInput("model", "one from Run Exported Model already", "give the model before it")
    refuse_patches(model)
    patched = model.clone()
    patched.add_object_patch(FORWARD, ExportedForward(unet))
    hide_features(patched)
    patched.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, KEY, checked_sample)
    return patched


def is_exported(model: ModelPatcher) -> bool:
    return FORWARD in model.object_patches


def refuse_patches(model: ModelPatcher) -> None:
    """Raises:
    BadInput: the model's weights or layers were changed by another node.
    """
    weights = [key for key in model.patches if key.startswith(INSIDE)]
    if weights or model.hook_patches:
        do = f"save the model with it and export that file, or {UNPATCHED}"
        raise BadInput("model", "one with a LoRA or another patch of its weights", do)
    layers = [key for key in model.object_patches if key.startswith(INSIDE) and key != FORWARD]
    if layers:
        raise BadInput("model", f"one with changed layers, {layers[0]}", UNPATCHED)


def checked_sample(executor: Any, *args: Any, **kwargs: Any) -> Tensor:
    """The wrapper around core's sampling of a whole run: patches may come after our node."""
    guider = executor.class_obj
    refuse_patches(guider.model_patcher)
    hooks = [cond.get("hooks") for side in guider.conds.values() for cond in side]
    if any(each and each.get_type(comfy.hooks.EnumHookType.Weight) for each in hooks):
        raise BadInput("prompt", "one with a LoRA hook", UNPATCHED)
    return executor(*args, **kwargs)


@dataclass(frozen=True, slots=True)
class ExportedForward:
    """In the place of core's UNetModel._forward."""

    unet: OnnxUNet

    def __call__(
        self,
        x: Tensor,
        timesteps: Tensor,
        context: Tensor,
        y: Tensor | None = None,
        control: Control | None = None,
        transformer_options: Mapping[str, Any] | None = None,
        **_: Any,
    ) -> Tensor:
        """Noise [B, 4, h, w]; x [B, 4, h, w], times [B], context [B, T, C].

        Raises:
            BadInput: another node's patch of the UNet's blocks, a T2I-Adapter, or a prompt of
                another width.
        """
        refuse_inside(transformer_options or {})
        if context.shape[-1] != self.unet.context_width:
            do = f"use the text encoder of the exported model, {self.unet.context_width} wide"
            raise BadInput("width of the prompt's encoding", context.shape[-1], do)
        residuals, middle = self._added(control or {})
        return self.unet.noise(x, timesteps, context, residuals, middle)

    def _added(self, control: Control) -> tuple[list[Tensor | None], Tensor | None]:
        """As core reads the lists: from their ends, the deepest output first."""
        if any(value is not None for value in control.get("input", ())):
            do = "use a ControlNet, or take out Run Exported Model"
            raise BadInput("control", "a T2I-Adapter, whose inputs are not in the graph", do)
        count = self.unet.outputs
        found = control.get("output", [])[-count:]
        middle = control.get("middle") or [None]
        return [None] * (count - len(found)) + list(found), middle[-1]


def refuse_inside(options: Mapping[str, Any]) -> None:
    """Raises:
    BadInput: a node wants to change what happens between the UNet's blocks.
    """
    patches: dict[str, list[Any]] = options.get("patches", {})
    names = [
        name
        for name, values in patches.items()
        if any(not isinstance(value, OwnFeature) for value in values)  # that is in the graph
    ]
    names += [name for name, values in options.get("patches_replace", {}).items() if values]
    if names:
        seen = f"{names[0]}, as IP-Adapter and FreeU set"
        raise BadInput("patch of the UNet's blocks", seen, UNPATCHED)
