"""A drawing on light paper as a scribble."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..view import Pixels


def drawing(photo: Pixels, settings: Mapping[str, float]) -> Pixels:
    """[h, w, 3] RGB -> [h, w] of 0 and 255, white where the paper is darker than `ink`."""
    import cv2

    grey = np.asarray(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY))
    return (grey < settings["ink"]).astype(np.uint8) * np.uint8(255)
