"""MoveNet: one person's joints from a square picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..detector import Filter
from ..drawing.people import Joints, Person, draw_people
from ..view import Pixels, View
from .resize import pad_to_square, resize
from .session import Network

SIDE_PX = 192
# COCO-17 (nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles; left first) for each
# of OpenPose's 18 joints; the neck, joint 1, lies between the shoulders.
FROM_COCO = (0, 0, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
NECK, SHOULDERS = 1, (2, 5)


def load_movenet(files: Mapping[str, Path]) -> Filter:
    [path] = files.values()
    network = Network(path)

    def run(view: View, settings: Mapping[str, float]) -> Pixels:
        square = resize(pad_to_square(view.photo), (SIDE_PX, SIDE_PX))
        [found] = network(square[None])[:1]
        body = joints(found.reshape(17, 3), view.photo.shape[:2], settings["confidence"])
        people = [Person(body)] if np.isfinite(body).any() else []
        return draw_people(people, view.size)

    return run


def joints(found: NDArray[np.floating], shape: tuple[int, ...], confidence: float) -> Joints:
    """[17, 3] of row, column (shares of the padded square) and score -> [18, 2] of x, y.

    MoveNet always returns 17 points; those with a lower score than `confidence` become NaN.
    """
    side = max(shape)
    places = found[:, 1::-1].astype(np.float64) * (side / shape[1], side / shape[0])
    places[~(found[:, 2] > confidence)] = np.nan
    return to_openpose(places)


def to_openpose(coco: Joints) -> Joints:
    """[17, 2] in COCO's order -> [18, 2] in OpenPose's, with a neck."""
    body = coco[list(FROM_COCO)]
    body[NECK] = body[list(SHOULDERS)].mean(axis=0)
    return body
