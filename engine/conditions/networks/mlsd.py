"""M-LSD with its peaks taken inside the graph: straight lines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..detector import Filter
from ..view import Pixels, View
from .resize import resize
from .session import Network

SIDE_PX, GRID = 512, 256
SHORTEST = 20.0  # on the grid: distance of the two displacements


def load_mlsd(files: Mapping[str, Path]) -> Filter:
    [path] = files.values()
    network = Network(path)

    def run(view: View, settings: Mapping[str, float]) -> Pixels:
        small = resize(view.photo, (SIDE_PX, SIDE_PX)).astype(np.float32)
        ones = np.ones((SIDE_PX, SIDE_PX, 1), np.float32)
        outputs = network(np.concatenate([small, ones], axis=2)[None])
        return draw_lines(lines(outputs, settings["score"]), view.size)

    return run


def lines(outputs: list[NDArray[Any]], score: float) -> NDArray[np.float64]:
    """Centres [1, n, 2], scores [1, n], displacements [1, 256, 256, 4] -> [k, 4]: x1 y1 x2 y2.

    Ends are shares of the picture.
    """
    centres, scores, moves = (output[0] for output in outputs[:3])
    rows, columns = centres[scores > score].T
    first, second = np.split(moves[rows, columns].astype(np.float64), 2, axis=1)
    middle = np.stack([columns, rows], axis=1)
    ends = np.concatenate([middle + first, middle + second], axis=1) / GRID
    return ends[np.linalg.norm(first - second, axis=1) > SHORTEST]


def draw_lines(found: NDArray[np.float64], size: tuple[int, int]) -> Pixels:
    """[k, 4] shares of the picture -> [h, w], white lines 1 px wide on black."""
    import cv2

    canvas = np.zeros(size, np.uint8)
    scaled = (found * (size[1], size[0], size[1], size[0])).astype(int)
    for x1, y1, x2, y2 in scaled.tolist():
        cv2.line(canvas, (x1, y1), (x2, y2), 255, 1)
    return canvas
