"""What a UNet's weights cannot tell, from what stands beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypedDict

from ..errors import BadInput

HEADS, HEAD_WIDTH, PREDICTION, POSITIONS = "heads", "head_width", "prediction_type", "positions"
STANDARD_PREDICTION = f"modelspec.{PREDICTION}"  # of the Stability AI model metadata standard
V_PREDICTION = {"epsilon": False, "v_prediction": True, "v": True}


class Told(TypedDict, total=False):
    """Arguments of `build_unet`."""

    heads: int
    head_width: int
    v_prediction: bool
    positions: tuple[int, ...]


def told_by_metadata(metadata: Mapping[str, str]) -> Told:
    """From a safetensors file: `heads` or `head_width`, `prediction_type`, `positions` (JSON).

    Raises:
        BadInput: a value that cannot be read.
    """
    told = Told()
    try:
        if HEADS in metadata:
            told["heads"] = int(metadata[HEADS])
        if HEAD_WIDTH in metadata:
            told["head_width"] = int(metadata[HEAD_WIDTH])
        if POSITIONS in metadata:
            told["positions"] = tuple(map(int, json.loads(metadata[POSITIONS])))
    except (ValueError, TypeError) as error:
        raise BadInput("metadata", dict(metadata), f"mend the file, {error}") from error
    prediction = metadata.get(PREDICTION, metadata.get(STANDARD_PREDICTION))
    if prediction is not None:
        told["v_prediction"] = is_v_prediction(prediction)
    return told


def told_by_configs(unet: Mapping[str, Any], scheduler: Mapping[str, Any] | None) -> Told:
    """From the configs of a diffusers pipeline; its `attention_head_dim` is a number of heads.

    Without a scheduler nobody tells the prediction.
    Raises:
        BadInput: heads of several widths and numbers, or another prediction.
    """
    told = Told()
    if scheduler is not None:
        told["v_prediction"] = is_v_prediction(scheduler.get(PREDICTION, "epsilon"))
    heads = unet.get("num_attention_heads") or unet.get("attention_head_dim", 8)
    if isinstance(heads, int):
        told["heads"] = heads
        return told
    widths = {
        channels // count for channels, count in zip(unet["block_out_channels"], heads, strict=True)
    }
    if len(widths) != 1:
        raise BadInput("attention_head_dim", heads, "give heads of one width, or of one number")
    told["head_width"] = widths.pop()
    return told


def is_v_prediction(name: str) -> bool:
    if name not in V_PREDICTION:
        raise BadInput(PREDICTION, name, "give a model that predicts epsilon or v_prediction")
    return V_PREDICTION[name]
