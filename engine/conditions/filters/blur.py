"""A softened photo, for ControlNets that take colour and composition from a blurred picture."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray


def blur(photo: NDArray[np.uint8], settings: Mapping[str, float]) -> NDArray[np.uint8]:
    """[h, w, 3] RGB -> the same through a Gaussian of `sigma` pixels."""
    import cv2

    return np.asarray(cv2.GaussianBlur(photo, (0, 0), settings["sigma"]), dtype=np.uint8)
