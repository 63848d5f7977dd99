"""A coarse copy of the photo, for the tile ControlNet."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray


def tile(photo: NDArray[np.uint8], settings: Mapping[str, float]) -> NDArray[np.uint8]:
    """[h, w, 3] RGB -> the same size, shrunk by `factor` and smoothly enlarged again."""
    import cv2

    height, width = photo.shape[:2]
    factor = settings["factor"]
    coarse = (max(1, round(width / factor)), max(1, round(height / factor)))
    small = cv2.resize(photo, coarse, interpolation=cv2.INTER_AREA)
    return np.asarray(
        cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.uint8
    )
