"""What a detector looks at: the photo as it was given, and the hint's size."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .size import fit_photo, hint_size

Pixels = NDArray[np.uint8]
Levels = NDArray[np.uint8 | np.uint16]  # of a hint; 16 bits where a network measures finely


@dataclass(frozen=True, eq=False)
class View:
    """A photo [H, W, 3] uint8 RGB and the shorter side wanted of its hint."""

    photo: Pixels
    resolution: int

    @cached_property
    def size(self) -> tuple[int, int]:
        """Height and width of the hint."""
        height, width, _ = self.photo.shape
        return hint_size(height, width, self.resolution)

    @cached_property
    def fitted(self) -> Pixels:
        """The photo at the hint's size."""
        return fit_photo(self.photo, self.resolution)
