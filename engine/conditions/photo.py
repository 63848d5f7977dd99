"""One picture that conditions are made from, known by its content."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput
from .view import Levels


@dataclass(frozen=True, eq=False)
class Photo:
    """A picture: [H, W, 3] uint8 RGB, read-only here; not copied, so leave the array as it is.

    Raises:
        BadInput: another shape or type, or no pixel at all.
    """

    pixels: NDArray[np.uint8]

    def __post_init__(self) -> None:
        array = self.pixels
        if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or array.size == 0:
            seen = f"{array.dtype} {array.shape}"
            raise BadInput("photo", seen, "give [height, width, 3] uint8 RGB")
        frozen = np.ascontiguousarray(array).view()
        frozen.flags.writeable = False
        object.__setattr__(self, "pixels", frozen)

    @classmethod
    def of_hint(cls, levels: Levels) -> Photo:
        """A hint [h, w] or [h, w, 3] as a picture to look at: grey as three channels, 8 bits."""
        if levels.dtype == np.uint16:
            levels = np.rint(levels / 257).astype(np.uint8)
        colour = levels if levels.ndim == 3 else np.repeat(levels[..., None], 3, axis=2)
        return cls(np.ascontiguousarray(colour, dtype=np.uint8))

    @cached_property
    def sha256(self) -> str:
        """Hex digest over size and pixels: equal pictures are one picture, whatever their file."""
        height, width, _ = self.pixels.shape
        digest = hashlib.sha256(f"{height}x{width} rgb8 ".encode())
        digest.update(self.pixels.data)
        return digest.hexdigest()
