"""Sets of conditions from the user's photos, as people get them right and wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..conditions import Condition, ConditionRequest, Hint, Photo, detect
from ..errors import BadInput
from .trial import Sampling, Trial


def trials_of_photos(
    sampling: Sampling, nets: Mapping[str, Any], photos: Sequence[Photo], resolution: int
) -> Iterator[Trial]:
    """Of each photo: all its hints; one left out; one of the next photo in its place.

    Args:
        nets: ControlNet of each detector.
        resolution: shorter side of the pictures.
    Raises:
        BadInput: fewer than two detectors or photos.
    """
    if len(nets) < 2 or len(photos) < 2:
        seen = f"{len(nets)} detectors, {len(photos)} photos"
        raise BadInput("examples", seen, "give two or more of each")
    hints = [
        [_hint(name, net, photo, resolution) for name, net in nets.items()] for photo in photos
    ]
    for seed, own in enumerate(hints):
        turn = seed % len(own)
        right = (True,) * len(own)
        yield Trial(sampling, tuple(own), right, seed)
        if len(own) > 2:
            yield Trial(sampling, (*own[:turn], *own[turn + 1 :]), right[1:], seed)
        other = hints[(seed + 1) % len(hints)][turn]
        strange = replace(own[turn], pictures=other.pictures)
        wrong = tuple(at != turn for at in range(len(own)))
        yield Trial(sampling, (*own[:turn], strange, *own[turn + 1 :]), wrong, seed)


def sets_of_photo(detectors: int) -> int:
    """How many `trials_of_photos` makes of each: of two, leaving one out leaves no set."""
    return 3 if detectors > 2 else 2


def _hint(name: str, net: Any, photo: Photo, resolution: int) -> Hint:
    request = ConditionRequest(name, resolution)
    return Hint(Condition(request, (photo,), net), (detect(request, photo),), "local", 0.0)
