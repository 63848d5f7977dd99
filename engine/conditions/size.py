"""The size of a hint, and the photo brought to it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MOST_ASPECT = 16  # of what a network is given
LATENT_PX = 8  # pixels of the picture along one side of a latent cell (SD1.5)


def hint_size(height: int, width: int, resolution: int) -> tuple[int, int]:
    """Height and width of the hint: shorter side `resolution`, same shape, whole latent cells.

    >>> hint_size(400, 600, 512)
    (512, 768)
    """
    scale = resolution / min(height, width)
    cells = (max(1, round(side * scale / LATENT_PX)) for side in (height, width))
    tall, wide = (LATENT_PX * count for count in cells)
    return tall, wide


def limited_shape(height: int, width: int) -> tuple[int, int]:
    """A photo's height and width, the longer one no more than `MOST_ASPECT` times the shorter.

    >>> limited_shape(2, 6000)
    (2, 32)
    """
    most = MOST_ASPECT * min(height, width)
    return min(height, most), min(width, most)


def limited_side(height: int, width: int, side: int, most_pixels: int) -> int:
    """The shorter side, or a smaller one with which a picture of this shape has so many pixels."""
    aspect = max(height, width) / min(height, width)
    return min(side, int((most_pixels / aspect) ** 0.5))


def fit_photo(pixels: NDArray[np.uint8], resolution: int) -> NDArray[np.uint8]:
    """The photo [H, W, 3] at the hint's size; areas are averaged when it shrinks."""
    import cv2

    tall, wide, _ = pixels.shape
    height, width = hint_size(tall, wide, resolution)
    if (tall, wide) == (height, width):
        return pixels
    shrinks = height * width < tall * wide
    how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=how), dtype=np.uint8)
