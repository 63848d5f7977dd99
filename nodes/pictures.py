"""ComfyUI's IMAGE as photos."""

from __future__ import annotations

import numpy as np
import torch

from ..engine.conditions import Photo
from ..engine.errors import BadInput

CHANNELS = (1, 3, 4)
MOST_LEVEL = 8.0  # filters overshoot 1 a little; beyond this it is another range


def photos_of(image: torch.Tensor) -> tuple[Photo, ...]:
    """One photo a picture of the batch.

    Args:
        image: [B, H, W, C] float, 0..1 (clipped), or uint8, 0..255; C is 1 (grey), 3, or 4,
            whose alpha is dropped as LoadImage does.
    Raises:
        BadInput: another shape, an empty batch, values that are not finite, or far above 1.
    """
    shape = tuple(image.shape)
    if image.ndim != 4 or shape[-1] not in CHANNELS or 0 in shape:
        do = "connect an IMAGE [batch, height, width, 1, 3 or 4] with a picture in it"
        raise BadInput("image", shape, do)
    if not torch.isfinite(image).all():
        raise BadInput("image", "NaN or infinity", "look at the node before: it made no picture")
    colour = image.expand(*shape[:3], 3) if shape[-1] == 1 else image[..., :3]
    if colour.dtype == torch.uint8:  # some packs hand on 0..255
        return tuple(Photo(np.ascontiguousarray(picture)) for picture in colour.cpu().numpy())
    if (most := float(colour.max())) > MOST_LEVEL:
        raise BadInput("brightest value of the image", most, "divide it by 255: IMAGE is 0..1")
    bytes8 = (colour.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
    return tuple(Photo(np.ascontiguousarray(picture)) for picture in bytes8)
