"""A request together with its photos and ControlNet, and the hint that comes of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput
from .doubts import doubts
from .models import models
from .photo import Photo
from .request import ConditionRequest
from .size import hint_size
from .view import Levels


@dataclass(frozen=True, eq=False)
class Condition:
    """What one Condition node asks for.

    `control_net` is ComfyUI's CONTROL_NET, handed through untouched; None makes the hint alone.
    `masks` never leave this machine: one [H, W] float, 0..1, a photo, or one for all, or none;
    where it is above 0.5 the hint is marked for filling in when it is applied.
    `source`: the condition whose hint is looked at; there are no `photos` then.

    Raises:
        BadInput: a hint that the detector cannot read, or a place where the photo may not go.
    """

    request: ConditionRequest
    photos: tuple[Photo, ...]
    control_net: Any = None
    masks: tuple[NDArray[np.float32], ...] = ()
    source: Condition | None = None

    def __post_init__(self) -> None:
        if self.source is None:
            return
        if not reads(self.request.detector, self.source):
            wanted = models().find(self.request.detector).reads or "it looks at photos alone"
            raise BadInput(
                f"hint for {self.request.detector}", self.source.request.detector, f"need: {wanted}"
            )
        if self.request.where == "edge" and self.source.where == "this machine":
            do = "choose auto: what its hint is made of stays on this machine"
            raise BadInput(f"where of {self.request.detector}", "edge", do)

    @property
    def where(self) -> str:
        """Where it may run: a hint travels no further than the photo that it tells of."""
        if self.source is not None and self.source.where == "this machine":
            return "this machine"
        return self.request.where

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """Height and width of every picture that it looks at."""
        if self.source is None:
            return tuple(photo.pixels.shape[:2] for photo in self.photos)
        return self.source.hint_sizes

    @property
    def hint_sizes(self) -> tuple[tuple[int, int], ...]:
        return tuple(hint_size(*size, self.request.resolution) for size in self.sizes)

    def made_of(self, pictures: Iterable[Levels]) -> Condition:
        """The same with these pictures of its source in place of photos."""
        photos = tuple(map(Photo.of_hint, pictures))
        return replace(
            self, request=replace(self.request, where=self.where), photos=photos, source=None
        )


def reads(detector: str, condition: Condition) -> bool:
    """Whether a detector can look at a condition's hint."""
    find = models().find
    return find(condition.request.detector).polarity == find(detector).reads


@dataclass(frozen=True, eq=False)
class Hint:
    """The pictures that steer: one [h, w] or [h, w, 3] for each photo of the condition."""

    condition: Condition
    pictures: tuple[Levels, ...]
    lane: str  # "local" or the worker's alias
    seconds: float  # of computing, without transfers

    @property
    def doubts(self) -> tuple[str, ...]:
        """What its pictures say against it, a line each: one flat colour, nobody found."""
        return doubts(models().find(self.condition.request.detector), self.pictures)
