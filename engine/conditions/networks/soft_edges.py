"""Soft edges by a dense network, on request in steps or as a scribble."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..detector import Filter, Loader
from ..filters.thin import in_steps, scribble_of
from ..view import Pixels, View
from .dense import DenseNetwork
from .dense_run import grey, raw_map
from .session import Network

LEAST_RIDGE = 60  # small networks are less sure of an edge than HED is


def soft_edges(spec: DenseNetwork) -> Loader:
    """What loads such a network; its filter takes the settings `safe` and `scribble`."""

    def load(files: Mapping[str, Path]) -> Filter:
        [path] = files.values()
        network = Network(path)

        def run(view: View, settings: Mapping[str, float]) -> Pixels:
            shade = raw_map(spec, network, view.photo)
            if settings["safe"]:
                shade = in_steps(shade)
            edges = grey(spec, shade, view.size)
            return scribble_of(edges, LEAST_RIDGE) if settings["scribble"] else np.asarray(edges)

        return run

    return load
