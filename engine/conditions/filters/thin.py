"""What both kinds of soft edges offer besides: steps, and a scribble of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..view import Pixels

STEPS = 2
SPREAD_PX = 3.0
_LINES = (
    ((0, 0, 0), (1, 1, 1), (0, 0, 0)),
    ((0, 1, 0), (0, 1, 0), (0, 1, 0)),
    ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    ((0, 0, 1), (0, 1, 0), (1, 0, 0)),
)


def in_steps(shade: NDArray[np.float32]) -> NDArray[np.float32]:
    """0..1 -> 0, 0.5 and 1: what ControlNet calls safe, no photo hides in the shades."""
    return np.minimum(np.floor(shade * (STEPS + 1)) / STEPS, 1).astype(np.float32)


def scribble_of(edges: Pixels, least: int = 127) -> Pixels:
    """[h, w] soft edges -> [h, w] of 0 and 255: thinned, then blurred and cut to strokes.

    `least` is the grey that a ridge must exceed; 127 is the source's.

    Source: the HED and PiDiNet scribbles of ControlNet 1.1.
    """
    import cv2

    soft = np.asarray(cv2.GaussianBlur(edges.astype(np.float32), (0, 0), SPREAD_PX))
    ridge = np.zeros_like(soft)
    for line in _LINES:
        along = np.asarray(cv2.dilate(soft, np.array(line, np.uint8)))
        ridge = np.where(along == soft, soft, ridge)
    thin = (ridge > least).astype(np.uint8) * np.uint8(255)
    wide = np.asarray(cv2.GaussianBlur(thin, (0, 0), SPREAD_PX))
    return (wide > 4).astype(np.uint8) * np.uint8(255)
