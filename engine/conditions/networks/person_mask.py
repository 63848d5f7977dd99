"""Where people are: black, not noise, where nobody is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..detector import Filter
from ..view import Pixels, View
from .dense import DenseNetwork
from .dense_run import grey, raw_map
from .session import Network

SURE, LEAST_SHARE = 0.9, 0.005  # a person: so sure of so much of the picture
SPEC = DenseNetwork(height=256, width=256, layout="nhwc", scale=1 / 255)


def load_person_mask(files: Mapping[str, Path]) -> Filter:
    [path] = files.values()
    network = Network(path)

    def run(view: View, settings: Mapping[str, float]) -> Pixels:
        share = raw_map(SPEC, network, view.photo)
        if (share > SURE).mean() < LEAST_SHARE:
            share = np.zeros_like(share)
        return grey(SPEC, share, view.size)

    return run
