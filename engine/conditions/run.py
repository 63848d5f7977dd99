"""Running one condition on one photo: the one function that this machine and the worker share."""

from __future__ import annotations

from ..errors import BadInput
from .models import Models, missing_package, models
from .photo import Photo
from .request import ConditionRequest
from .view import Levels, View

MOST_HINT_PIXELS = 2**26  # a thin photo makes a very long hint


def detect(request: ConditionRequest, photo: Photo, within: Models | None = None) -> Levels:
    """The hint of one photo.

    Args:
        within: model folders and what is loaded of them; this process's own unless given.
    Returns:
        [h, w] or [h, w, 3], by the detector's `channels`, of its `bits`; its shorter side is about
        `request.resolution` pixels, both sides are multiples of 8.
    Raises:
        BadInput: an unknown detector, a parameter out of range, a broken weights file.
        Unavailable: a package or a weights file that the detector needs is not there.
    """
    chosen = within or models()
    detector = chosen.find(request.detector)
    settings = {**dict(detector.fixed), **detector.settings(request.params)}
    view = View(photo.pixels, request.resolution)
    height, width = view.size
    if height * width > MOST_HINT_PIXELS:
        do = f"at most {MOST_HINT_PIXELS} pixels: choose a lower resolution or a less thin photo"
        raise BadInput("size of the hint", f"{width} x {height}", do)
    try:
        return chosen.filter(detector)(view, settings)
    except ImportError as error:
        raise missing_package(detector.name, error.name or str(error)) from error


def load(name: str, within: Models | None = None) -> None:
    """Make a detector ready, so that its first photo does not wait. Raises what `detect` does."""
    chosen = within or models()
    detector = chosen.find(name)
    try:
        chosen.filter(detector)
    except ImportError as error:
        raise missing_package(name, error.name or str(error)) from error
