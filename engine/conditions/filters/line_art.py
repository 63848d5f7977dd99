"""Line art without a network: how much darker a pixel is than what surrounds it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..view import Pixels

LEAST_SCALE = 16.0


def line_art(photo: Pixels, settings: Mapping[str, float]) -> Pixels:
    """[h, w, 3] RGB -> [h, w], white on black.

    Source: "standard line art" of lllyasviel's annotators: blurred minus picture, smallest of the
    channels, scaled so that the median of what counts as a line becomes 127.
    """
    import cv2

    colour = photo.astype(np.float32)
    around = cv2.GaussianBlur(colour, (0, 0), settings["sigma"])
    darker = np.min(around - colour, axis=2).clip(0, 255)
    strong = darker[darker > settings["threshold"]]
    scale = max(LEAST_SCALE, float(np.median(strong))) if strong.size else LEAST_SCALE
    return (darker / np.float32(scale) * 127).clip(0, 255).astype(np.uint8)
