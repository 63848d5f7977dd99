"""Large squares of one colour each, for the colour adapter."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..view import Pixels


def mosaic(photo: Pixels, settings: Mapping[str, float]) -> Pixels:
    """[h, w, 3] RGB -> the same size in squares of about `square` pixels."""
    import cv2

    height, width = photo.shape[:2]
    square = settings["square"]
    coarse = (max(1, round(width / square)), max(1, round(height / square)))
    small = cv2.resize(photo, coarse, interpolation=cv2.INTER_AREA)
    large = cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST)
    return np.asarray(large, dtype=np.uint8)
