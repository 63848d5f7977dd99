"""A photo warped at random: colours stay, shapes go. The same seed gives the same picture."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..view import Pixels

CELL_PX = 256  # between the random values that the warp is smoothed from


def shuffle(photo: Pixels, settings: Mapping[str, float]) -> Pixels:
    """[h, w, 3] RGB -> the same size, each pixel from a smoothly random place.

    Source: the shuffle of ControlNet 1.1, which draws from the global random state instead.
    """
    import cv2

    height, width = photo.shape[:2]
    random = np.random.default_rng(int(settings["seed"]))
    across = _smooth_noise(random, height, width) * (width - 1)
    down = _smooth_noise(random, height, width) * (height - 1)
    return np.asarray(cv2.remap(photo, across, down, cv2.INTER_LINEAR), dtype=np.uint8)


def _smooth_noise(random: np.random.Generator, height: int, width: int) -> NDArray[np.float32]:
    """[height, width] from 0 to 1."""
    import cv2

    coarse = random.random((height // CELL_PX + 2, width // CELL_PX + 2))
    size = (width + 2 * CELL_PX, height + 2 * CELL_PX)
    noise = np.asarray(cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC))
    noise = noise[CELL_PX : CELL_PX + height, CELL_PX : CELL_PX + width]
    noise = noise - noise.min()
    return (noise / max(float(noise.max()), 1e-12)).astype(np.float32)
