"""DWPose by ONNX: people's boxes (YOLOX), then 133 points of each (RTMPose, SimCC)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..detector import Filter
from ..drawing.people import Joints, Person, draw_people
from ..view import Pixels, View
from .movenet import to_openpose
from .session import Network

BOX_PX = 640
STRIDES = (8, 16, 32)
LEAST_BOX_SCORE, MOST_OVERLAP = 0.3, 0.45
GREY = 114  # fills what the photo leaves of the square
TALL, WIDE = 384, 288
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
PADDING = 1.25  # of a box
SIMCC_SPLIT = 2.0
BODY, FACE, LEFT_HAND, RIGHT_HAND = slice(0, 17), slice(23, 91), slice(91, 112), slice(112, 133)

Floats = NDArray[np.float64]


def load_dwpose(files: Mapping[str, Path]) -> Filter:
    boxes, points = (Network(path) for path in files.values())

    def run(view: View, settings: Mapping[str, float]) -> Pixels:
        photo = view.photo
        people = [
            _person(points_in(points, photo, box), photo, settings)
            for box in boxes_in(boxes, photo)
        ]
        return draw_people(people, view.size)

    return run


def boxes_in(network: Network, photo: Pixels) -> Floats:
    """[k, 4] of x1, y1, x2, y2 in pixels of the photo: one a person, best first.

    Source: YOLOX's demo and DWPose's onnxdet.py: BGR, 0..255, grey below and to the right.
    """
    import cv2

    height, width, _ = photo.shape
    ratio = min(BOX_PX / height, BOX_PX / width)
    tall, wide = max(1, int(height * ratio)), max(1, int(width * ratio))
    square = np.full((BOX_PX, BOX_PX, 3), GREY, np.uint8)
    square[:tall, :wide] = cv2.resize(photo, (wide, tall), interpolation=cv2.INTER_LINEAR)
    feed = np.moveaxis(square[..., ::-1], -1, 0)[None].astype(np.float32)
    [found] = network(feed)[:1]
    places, scores = decode_boxes(found[0].astype(np.float64))
    sure = scores > LEAST_BOX_SCORE
    return _without_overlaps(places[sure] / ratio, scores[sure])


def decode_boxes(found: Floats) -> tuple[Floats, Floats]:
    """[8400, 5 + classes] of offsets, log sizes, objectness, class scores -> boxes, scores.

    Boxes [8400, 4] are x1, y1, x2, y2 in the square; scores are those of class 0, people.
    """
    cells: list[Floats] = []
    for stride in STRIDES:
        rows, columns = np.divmod(np.arange((BOX_PX // stride) ** 2), BOX_PX // stride)
        cells.append(np.stack([columns, rows, np.full_like(rows, stride)], axis=1))
    grid = np.concatenate(cells).astype(np.float64)
    step = grid[:, 2:]
    middle = (found[:, :2] + grid[:, :2]) * step
    half = np.exp(found[:, 2:4]) * step / 2
    return np.concatenate([middle - half, middle + half], axis=1), found[:, 4] * found[:, 5]


def _without_overlaps(places: Floats, scores: Floats) -> Floats:
    kept: list[Floats] = []
    for place in places[np.argsort(-scores, kind="stable")]:
        if all(_overlap(place, other) <= MOST_OVERLAP for other in kept):
            kept.append(place)
    return np.array(kept).reshape(-1, 4)


def _overlap(one: Floats, other: Floats) -> float:
    """Shared area of all area, counting whole pixels."""
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    shared = float(np.prod(np.maximum(0, high - low + 1)))
    areas = [float(np.prod(box[2:] - box[:2] + 1)) for box in (one, other)]
    return shared / (sum(areas) - shared)


def points_in(network: Network, photo: Pixels, box: Floats) -> Floats:
    """[133, 3] of x, y in pixels of the photo and score, in COCO-WholeBody's order.

    Source: RTMPose's SimCC: each axis is a row of bins, `SIMCC_SPLIT` a pixel.
    """
    import cv2

    middle = (box[:2] + box[2:]) / 2
    wide, tall = (box[2:] - box[:2]) * PADDING
    scale = max(wide / WIDE, tall / TALL)  # pixels of the photo for one of the crop
    origin = middle - np.array([WIDE, TALL]) * scale / 2
    warp = np.array([[scale, 0, origin[0]], [0, scale, origin[1]]])
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    crop = np.asarray(cv2.warpAffine(photo, warp, (WIDE, TALL), flags=how))
    feed = (crop.astype(np.float32) - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    across, down = network(np.moveaxis(feed, -1, 0)[None])[:2]
    places, scores = decode_simcc(across[0], down[0])
    return np.concatenate([places * scale + origin, scores[:, None]], axis=1)


def decode_simcc(across: NDArray[Any], down: NDArray[Any]) -> tuple[Floats, Floats]:
    """Rows of bins [133, 576] and [133, 768] -> places [133, 2] in the crop, scores [133]."""
    bins = np.stack([across.argmax(axis=1), down.argmax(axis=1)], axis=1)
    scores = np.minimum(across.max(axis=1), down.max(axis=1)).astype(np.float64)
    return bins / SIMCC_SPLIT, scores


def _person(points: Floats, photo: Pixels, settings: Mapping[str, float]) -> Person:
    places = points[:, :2] / (photo.shape[1], photo.shape[0])
    places[~(points[:, 2] > settings["confidence"])] = np.nan
    hands: tuple[Joints, ...] = ()
    if settings["hands"]:
        hands = (places[LEFT_HAND], places[RIGHT_HAND])
    face = places[FACE] if settings["face"] else None
    return Person(to_openpose(places[BODY]), hands, face)
