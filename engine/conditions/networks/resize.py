"""Pictures to a network's size and maps back to the hint's."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..view import Pixels


def resize(photo: Pixels, size: tuple[int, int]) -> Pixels:
    """[H, W, 3] -> `size` (height, width): areas are averaged where it shrinks, else linear."""
    import cv2

    if photo.shape[:2] == size:
        return photo
    shrinks = size[0] * size[1] < photo.shape[0] * photo.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(photo, size[::-1], interpolation=how), dtype=np.uint8)


def resize_back(found: NDArray[Any], size: tuple[int, int], nearest: bool = False) -> NDArray[Any]:
    """[h, w] or [h, w, 3] -> `size`; linear, or nearest for what must not be mixed: classes."""
    import cv2

    if found.shape[:2] == size:
        return found
    how = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(found, size[::-1], interpolation=how))


def pad_to_square(photo: Pixels) -> Pixels:
    """Black below or to the right, so that nothing is stretched."""
    height, width, _ = photo.shape
    side = max(height, width)
    return np.pad(photo, ((0, side - height), (0, side - width), (0, 0)))
