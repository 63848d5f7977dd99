"""A core MODEL from the weights of any SD1.5-shaped UNet, of any width."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import comfy.model_management
import comfy.supported_models
import torch
from comfy.ldm.modules.diffusionmodules.openaimodel import TimestepEmbedSequential
from comfy.model_base import ModelType
from comfy.model_detection import detect_unet_config
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ..control.fit import fit_model
from ..errors import BadInput
from .attention_fit import fit_attention
from .guidance import COND_PROJ, keep_guidance
from .kind import check_kind
from .origins import POSITIONS
from .unet_layout import NO_MIDDLE, is_diffusers, to_ldm

LINEAR = "use_linear_in_transformer"
OUTPUT_NORM = re.compile(r"output_blocks\.(\d+)\.1\.transformer_blocks\.0\.norm1\.bias")
V_SPREAD = 0.09  # of that bias in SD2's v-prediction models


class _AnyWidth:
    """Core's config without its insistence on widths; the layout comes from the file."""

    unet_config: ClassVar[dict[str, Any]] = {}
    unet_extra_config: ClassVar[dict[str, Any]] = {}
    v_prediction: bool = False

    def model_type(self, state_dict: Mapping[str, Tensor], prefix: str = "") -> ModelType:
        return ModelType.V_PREDICTION if self.v_prediction else ModelType.EPS


class CompactSD15(_AnyWidth, comfy.supported_models.SD15):
    pass


class CompactSD20(_AnyWidth, comfy.supported_models.SD20):
    pass


class OwnCopy(torch.nn.Module):
    """Stands where a UNet has no middle: there the last skip and the running feature are one
    tensor, and core adds ControlNet residuals in place, so both would get them.
    """

    def forward(self, x: Tensor) -> Tensor:
        return x.clone()


def build_unet(
    weights: Mapping[str, Tensor],
    *,
    heads: int | None = None,
    head_width: int | None = None,
    v_prediction: bool | None = None,
    positions: Sequence[int] | None = None,
) -> ModelPatcher:
    """MODEL from diffusers or LDM keys; the weights are not changed.

    ControlNets and IP-Adapters made for SD1.5 act on the blocks that are left; a guidance embedding
    (of a UNet distilled for LCM) is kept for `set_guidance`.

    Args:
        heads: number of attention heads everywhere, or
        head_width: channels of one head. Weights cannot tell; without either, SD1.5's 8 heads for
            its context of 768, SD2's width of 64 for its 1024 and linear projections.
        v_prediction: whether it predicts v; when not given, as core guesses it.
        positions: SD1.5's encoder outputs that the UNet's were made from; from the layout when
            not given, which cannot tell which of two equal ResNets was removed.
    Raises:
        BadInput: heads that nobody tells, or keys that are no SD1.5-shaped UNet's.
    """
    check_kind(weights)
    weights = dict(weights)
    guidance = next((weights.pop(key) for key in COND_PROJ if key in weights), None)
    converted, config = _core_form(weights)
    config |= _heads(config, heads, head_width)
    known = (CompactSD20 if config[LINEAR] else CompactSD15)(config)
    guessed = config[LINEAR] and _looks_like_v(converted)
    known.v_prediction = guessed if v_prediction is None else v_prediction
    device = comfy.model_management.get_torch_device()
    model = _loaded(known, converted, device)
    patcher = ModelPatcher(
        model,
        load_device=device,
        offload_device=comfy.model_management.unet_offload_device(),
    )
    if guidance is not None:
        keep_guidance(patcher, converted["time_embed.0.weight"], guidance)
    if positions is not None:
        patcher.set_attachments(POSITIONS, tuple(positions))
    return fit_attention(fit_model(patcher, positions))


def _core_form(weights: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """LDM keys, and core's unet_config."""
    if is_diffusers(weights):
        converted, layout = to_ldm(weights)
        return converted, layout.config()
    found = detect_unet_config(weights, "")
    if not found or "context_dim" not in found:
        raise BadInput("UNet", sorted(weights)[:3], "give one of SD1.5's kind")
    return weights, found


def _heads(config: Mapping[str, Any], heads: int | None, width: int | None) -> dict[str, Any]:
    """The part of core's config that says how attention is split."""
    if heads is None and width is None:
        match config["context_dim"], config[LINEAR]:
            case 768, False:
                heads = 8
            case 1024, True:
                width = 64
            case _:
                raise BadInput(
                    "attention heads",
                    None,
                    "write heads or head_width into the file's metadata: only SD1.5's and SD2's "
                    "are known without",
                )
    if (heads is None) == (width is None) or (heads or width or 0) < 1:
        raise BadInput("attention heads", (heads, width), "give a number or a width, not both")
    told: dict[str, Any] = {"num_heads": heads or -1, "num_head_channels": width or -1}
    if config[LINEAR]:  # as core: SD2's overflow in half precision
        told["attn_precision"] = torch.float32
    return told


def _looks_like_v(weights: Mapping[str, Tensor]) -> bool:
    """Core's own sign for SD2, at the last attention that a compact UNet has."""
    places = {int(found[1]): key for key in weights if (found := OUTPUT_NORM.fullmatch(key))}
    return bool(places) and float(weights[places[max(places)]].float().std()) > V_SPREAD


def _loaded(known: Any, weights: dict[str, Tensor], device: torch.device) -> Any:
    """Core's model with these weights."""
    kinds = known.supported_inference_dtypes
    count = sum(value.numel() for value in weights.values())
    dtype = comfy.model_management.unet_dtype(device, count, kinds)
    cast = comfy.model_management.unet_manual_cast(dtype, device, kinds)
    known.set_inference_dtype(dtype, cast)
    model = known.get_model(weights, "")
    if known.unet_config["transformer_depth_middle"] == NO_MIDDLE:
        model.diffusion_model.middle_block = TimestepEmbedSequential(OwnCopy())
    try:
        missing, unexpected = model.diffusion_model.load_state_dict(weights, strict=False)
    except RuntimeError as error:  # a tensor of another shape
        raise BadInput("UNet", str(error), "give one with widths as SD1.5 has them") from error
    if missing or unexpected:
        raise BadInput("UNet", [*missing, *unexpected][:4], "give a file with these keys mended")
    return model
