"""Normals of a depth picture: no network, the picture is the depth."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..drawing.normals import draw_normals, normals_of_relief
from ..view import Pixels


def relief(photo: Pixels, settings: Mapping[str, float]) -> Pixels:
    """[h, w, 3] depth picture, near = white -> [h, w, 3] normals."""
    import cv2

    near = photo.astype(np.float32).mean(axis=2) / 255
    soft = np.asarray(cv2.GaussianBlur(near, (0, 0), settings["soften"]))
    return draw_normals(normals_of_relief(soft, settings["relief"]))
