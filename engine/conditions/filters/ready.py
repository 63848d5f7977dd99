"""A picture that is a hint already."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..detector import Filter
from ..networks.resize import resize_back
from ..view import Pixels, View


def ready(files: Mapping[str, Path]) -> Filter:
    """Needs no file; gets the picture as it was given, so that colours need not be mixed."""

    def run(view: View, settings: Mapping[str, float]) -> Pixels:
        if settings["keep_colours"]:
            return resize_back(view.photo, view.size, nearest=True)
        return view.fitted

    return run
