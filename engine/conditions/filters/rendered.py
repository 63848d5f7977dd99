"""What a renderer knows of its scene, as the hints that detectors would make of the picture.

The photo is one pass of the renderer, as the compositor of a 3D program saves it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from ..detector import Filter
from ..drawing.palette import colour_classes
from ..networks.resize import resize_back
from ..view import Pixels, View


def distance_pass(view: View) -> Pixels:
    """Black is nearest -> white is nearest, over the whole range."""
    far = view.fitted.astype(np.float32).mean(axis=2)
    span = max(float(far.max() - far.min()), 1e-6)
    return ((far.max() - far) / span * 255).round().astype(np.uint8)


def normal_pass(view: View) -> Pixels:
    """Red right, green up, blue to the viewer (OpenGL's) -> red left, as normalbae has it."""
    return np.where((True, False, False), 255 - view.fitted, view.fitted).astype(np.uint8)


def object_pass(view: View) -> Pixels:
    """One flat colour an object -> white where two meet, on black."""
    colour = resize_back(view.photo, view.size, nearest=True).astype(np.int16)
    edges = np.zeros(view.size, bool)
    edges[1:] |= (colour[1:] != colour[:-1]).any(axis=2)
    edges[:, 1:] |= (colour[:, 1:] != colour[:, :-1]).any(axis=2)
    return edges.astype(np.uint8) * np.uint8(255)


def class_pass(view: View) -> Pixels:
    """Grey levels are ADE20K's classes from 1, 0 is none -> their colours."""
    classes = resize_back(view.photo, view.size, nearest=True)[..., 0].astype(np.int64)
    return colour_classes(classes - 1)


def rendered(draw: Callable[[View], Pixels]) -> Callable[[Mapping[str, Path]], Filter]:
    """A loader that needs no file: passes get the picture as it was given, unmixed."""

    def load(files: Mapping[str, Path]) -> Filter:
        return lambda view, settings: draw(view)

    return load
