"""Normals by way of a network that measures distance."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..detector import Filter, Loader
from ..drawing.normals import draw_normals, focal_length, normals_of_depth
from ..view import Levels, View
from .dense import DenseNetwork
from .dense_run import picture, raw_map
from .resize import resize_back
from .session import Network


def depth_and_normals(spec: DenseNetwork) -> Loader:
    """What loads a network whose activation is the reciprocal of a distance.

    Its filter makes depth, or with the setting `normals` normals.
    """

    def load(files: Mapping[str, Path]) -> Filter:
        [path] = files.values()
        network = Network(path)

        def run(view: View, settings: Mapping[str, float]) -> Levels:
            nearness = raw_map(spec, network, view.photo)
            if not settings["normals"]:
                return picture(spec, nearness, view.size)
            height, width = view.size
            distance = resize_back(1 / nearness, view.size)
            normals = normals_of_depth(
                distance,
                focal_length(width, settings["view"]),
                max(0.1, settings["smooth"] * min(view.size) / 512),
                (width / 2, height / 2),
            )
            return draw_normals(np.asarray(normals))

        return run

    return load
