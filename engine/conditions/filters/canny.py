"""Canny's edges: one pixel wide, white on black."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray


def canny(photo: NDArray[np.uint8], settings: Mapping[str, float]) -> NDArray[np.uint8]:
    """[h, w, 3] RGB -> [h, w] of 0 and 255, by OpenCV on the colour picture, as ControlNet did."""
    import cv2

    edges = cv2.Canny(photo, settings["low"], settings["high"])
    return np.asarray(edges, dtype=np.uint8)
