"""Running a network that is described by data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import BadInput
from ..detector import Filter, Loader
from ..drawing.palette import colour_classes
from ..size import limited_shape, limited_side
from ..view import Levels, Pixels, View
from .dense import DenseNetwork
from .resize import resize, resize_back
from .session import Network

Floats = NDArray[Any]
MOST_PIXELS = 2**20  # that a network is given: attention grows with their square


def dense(spec: DenseNetwork) -> Loader:
    """What loads the one file of such a network and makes hints with it."""

    def load(files: Mapping[str, Path]) -> Filter:
        [path] = files.values()
        network = Network(path)

        def run(view: View, settings: Mapping[str, float]) -> Levels:
            return picture(spec, raw_map(spec, network, view.photo), view.size)

        return run

    return load


def raw_map(spec: DenseNetwork, network: Network, photo: Pixels) -> Floats:
    """[h, w], or [h, w, 3] colours, float32, of the network's own size, through the activation."""
    outputs = network(feed(spec, photo))
    if spec.output >= len(outputs):
        raise BadInput("output", spec.output, f"{network.name} has {len(outputs)}")
    found = np.squeeze(outputs[spec.output])
    return _activate(spec, found, network.name)


def feed(spec: DenseNetwork, photo: Pixels) -> NDArray[Any]:
    """The photo as the network wants it."""
    height, width = _size(spec, *photo.shape[:2])
    small = resize(photo, (height, width))
    if spec.bgr:
        small = small[..., ::-1]
    if spec.dtype == "uint8":
        array: NDArray[Any] = small
    else:
        mean, std = np.array(spec.mean, np.float32), np.array(spec.std, np.float32)
        array = (small.astype(np.float32) * np.float32(spec.scale) - mean) / std
    if spec.layout.endswith("chw"):
        array = np.moveaxis(array, -1, 0)
    return array[None] if spec.layout.startswith("n") else array


def picture(spec: DenseNetwork, found: Floats, size: tuple[int, int]) -> Levels:
    """The map as a hint of this size: [h, w], or [h, w, 3] of colours or coloured classes."""
    if spec.makes_classes:
        classes = resize_back(found, size, nearest=True).astype(np.int64) - spec.first_class
        return colour_classes(classes)
    if spec.bits == 16:
        return (shade_of(spec, found, size) * 65535).round().astype(np.uint16)
    return grey(spec, found, size)


def grey(spec: DenseNetwork, found: Floats, size: tuple[int, int]) -> Pixels:
    """The map, grey or in colour, as a hint of 8 bits."""
    return (shade_of(spec, found, size) * 255).round().astype(np.uint8)


def shade_of(spec: DenseNetwork, found: Floats, size: tuple[int, int]) -> Floats:
    """The map stretched and resized, 0..1."""
    shade = _stretch(spec, found)
    return resize_back(1.0 - shade if spec.invert else shade, size).clip(0, 1)


def _size(spec: DenseNetwork, height: int, width: int) -> tuple[int, int]:
    if spec.height:
        return spec.height, spec.width
    height, width = limited_shape(height, width)
    scale = limited_side(height, width, spec.short_px, MOST_PIXELS) / min(height, width)
    step = spec.multiple
    tall, wide = (max(1, round(side * scale / step)) * step for side in (height, width))
    return tall, wide


def _activate(spec: DenseNetwork, found: NDArray[Any], name: str) -> Floats:
    if found.ndim == 3:
        axis = 0 if spec.layout.endswith("chw") else -1
        if spec.activation == "argmax":
            return found.argmax(axis=axis).astype(np.float32)
        if spec.activation == "softmax":
            powers = np.exp(found - found.max(axis=axis, keepdims=True))
            found = powers / powers.sum(axis=axis, keepdims=True)
        taken = spec.channel + (3 if spec.colours else 1)
        if not 0 <= spec.channel < taken <= found.shape[axis]:
            raise BadInput("channel", spec.channel, f"{name} makes {found.shape[axis]}")
        if spec.colours:
            colours = np.moveaxis(found, axis, -1)[..., spec.channel : taken]
            return _curve(spec, colours.astype(np.float32)) * _row(spec.gain) + _row(spec.offset)
        found = np.take(found, spec.channel, axis=axis)
    if found.ndim != 2 or spec.colours:
        raise BadInput(f"output of {name}", found.shape, "need a picture of one or more channels")
    return _curve(spec, found.astype(np.float32))


def _row(values: tuple[float, float, float]) -> NDArray[np.float32]:
    return np.array(values, np.float32)


def _curve(spec: DenseNetwork, values: NDArray[np.float32]) -> Floats:
    if spec.activation == "sigmoid":
        return 1 / (1 + np.exp(-values.clip(-60, 60)))
    if spec.activation == "reciprocal":
        return 1 / np.maximum(values, np.float32(spec.least))
    return values


def _stretch(spec: DenseNetwork, found: Floats) -> Floats:
    if not np.isfinite(found).all():
        raise BadInput("output of the network", "NaN or infinity", "its file or input is wrong")
    if spec.stretch == "none":
        return found
    if spec.stretch == "min_max":
        low, high = float(found.min()), float(found.max())
    else:
        low, high = (float(at) for at in np.percentile(found, [spec.low, spec.high]))
    return ((found - low) / max(high - low, 1e-12)).clip(0, 1).astype(np.float32)
