"""Hints as ComfyUI's IMAGE."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

MASKED = -1.0  # what ControlNet's inpaint takes for "fill this in"


def hint_image(
    pictures: Sequence[NDArray[np.uint8 | np.uint16]], masks: Sequence[NDArray[np.float32]] = ()
) -> torch.Tensor:
    """Pictures [h, w] or [h, w, 3], uint8 or uint16, all of one size -> float [B, h, w, 3], 0..1.

    Where a mask [H, W] (one a picture, or one for all) is above 0.5 the picture becomes -1. The
    mask is brought to the picture's size first, so that nothing is mixed with -1.
    Pictures of other sizes than the first (a batch never has any) raise ValueError.
    """
    colour = [np.repeat(p[..., None], 3, axis=2) if p.ndim == 2 else p for p in pictures]
    levels = np.iinfo(pictures[0].dtype).max
    image = torch.from_numpy(np.stack(colour).astype(np.float32)) / levels
    for number in range(len(pictures) if masks else 0):
        mask = torch.from_numpy(masks[number % len(masks)])
        sized = torch.nn.functional.interpolate(mask[None, None], image.shape[1:3], mode="nearest")
        image[number][sized[0, 0] > 0.5] = MASKED
    return image
