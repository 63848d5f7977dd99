"""What a hint's pictures say against it: nothing in them, nobody found."""

from __future__ import annotations

from collections.abc import Iterable

from .detector import Detector
from .view import Levels


def doubts(detector: Detector, pictures: Iterable[Levels]) -> tuple[str, ...]:
    """A line for each picture of one flat colour: such a hint steers nothing, or to grey.

    A photo without what is looked for gives one, and so does a network that is fed wrongly.
    """
    return tuple(
        f"{detector.name}: picture {number} {_why(detector, picture)}"
        for number, picture in enumerate(pictures, 1)
        if bool((picture == picture[0, 0]).all())
    )


def _why(detector: Detector, picture: Levels) -> str:
    if detector.looks_for and not picture.any():
        return f"is black: no {detector.looks_for} was found in the photo"
    colour = ", ".join(str(int(level)) for level in picture[0, 0].reshape(-1))
    return f"is one flat colour ({colour}): look at the photo and the detector's options"
