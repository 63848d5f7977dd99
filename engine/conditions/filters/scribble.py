"""A scribble without a network: difference of two Gaussian blurs, thresholded."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

NARROW_PX, WIDE_PX = 0.5, 5.0  # standard deviations of the two blurs


def scribble(photo: NDArray[np.uint8], settings: Mapping[str, float]) -> NDArray[np.uint8]:
    """[h, w, 3] RGB -> [h, w] of 0 and 255, white where the picture is darker than around it.

    Source: difference of Gaussians as in XDoG (Winnemoeller 2012), with the two widths and the
    factor of the scribble ControlNet's own XDoG preprocessor; `threshold` counts half grey levels.
    """
    import cv2

    colour = photo.astype(np.float32)
    narrow = cv2.GaussianBlur(colour, (0, 0), NARROW_PX)
    wide = cv2.GaussianBlur(colour, (0, 0), WIDE_PX)
    darker = 2 * np.min(wide - narrow, axis=2)
    return (darker > settings["threshold"]).astype(np.uint8) * np.uint8(255)
