"""Directions of surfaces as colours: x right, y up, z to the viewer.

Colour is ((1 - x) / 2, (1 + y) / 2, (1 + z) / 2), the convention of the normalbae ControlNet: what
faces us is blue, what faces up is green, what faces left is red.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..view import Pixels

Floats = NDArray[np.float64]


def draw_normals(normals: NDArray[np.floating]) -> Pixels:
    """[h, w, 3] unit vectors (x, y, z) -> [h, w, 3]."""
    colour = (1 + normals * (-1, 1, 1)) / 2
    return (colour.clip(0, 1) * 255).round().astype(np.uint8)


def normals_of_relief(nearness: NDArray[np.floating], relief: float) -> Floats:
    """Of a picture of nearness [h, w], 0..1, taken for a relief.

    `relief` is the height of its nearest point as a share of its shorter side. A depth picture
    has no scale: only the user knows how deep it is.
    """
    height = nearness.astype(np.float64) * relief * min(nearness.shape)
    down, right = _slopes(height)
    return _unit(np.stack([-right, down, np.ones_like(height)], axis=2))


def normals_of_depth(
    depth: NDArray[np.floating], focal_px: float, smooth_px: float, centre: tuple[float, float]
) -> Floats:
    """Of distances [h, w] in any unit, seen by a camera of this focal length.

    Args:
        smooth_px: Gaussian that the distances are smoothed with before.
        centre: x, y of the picture that the camera's axis meets, in pixels.
    """
    import cv2

    far: NDArray[Any] = np.asarray(cv2.GaussianBlur(depth.astype(np.float64), (0, 0), smooth_px))
    height, width = far.shape
    x = (np.arange(width) - centre[0]) * far / focal_px
    y = (centre[1] - np.arange(height))[:, None] * far / focal_px
    points = np.stack([x, y, -far], axis=2)
    down, right = _slopes(points)
    facing = np.cross(-down, right)  # for a wall: up x right points away from the viewer
    return _unit(np.where((facing * points).sum(axis=2, keepdims=True) > 0, -facing, facing))


def focal_length(width: int, view_degrees: float) -> float:
    """In pixels, of a camera that sees so many degrees across this width."""
    return width / (2 * math.tan(math.radians(view_degrees) / 2))


def _slopes(values: NDArray[Any]) -> tuple[Floats, Floats]:
    """Change from row to row and from column to column; 0 along a side of one pixel."""
    return tuple(  # pyright: ignore
        np.gradient(values, axis=axis) if values.shape[axis] > 1 else np.zeros_like(values)
        for axis in (0, 1)
    )


def _unit(vectors: Floats) -> Floats:
    length = np.linalg.norm(vectors, axis=2, keepdims=True)
    facing_us = np.broadcast_to(np.array([0.0, 0.0, 1.0]), vectors.shape)
    return np.where(length > 0, vectors / np.maximum(length, 1e-300), facing_us)
