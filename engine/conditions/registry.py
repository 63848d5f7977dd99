"""All detectors, one entry each, in the order that menus show; new ones come last."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from .catalog.edges import CANNY, EDGES, SCRIBBLE
from .catalog.lines import LINES
from .catalog.people import PEOPLE
from .catalog.pictures import BLUR, PICTURES, TILE
from .catalog.rendered import RENDERED
from .catalog.shapes import SHAPES
from .detector import Detector

_ALL = (CANNY, SCRIBBLE, BLUR, TILE, *EDGES, *LINES, *SHAPES, *PEOPLE, *PICTURES, *RENDERED)

DETECTORS: Mapping[str, Detector] = MappingProxyType({entry.name: entry for entry in _ALL})
