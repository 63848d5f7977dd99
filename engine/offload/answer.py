"""A worker's hint: what it has to look like, and where it says its time went."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from ..conditions import ConditionRequest, Photo, find_detector
from ..conditions.size import hint_size
from ..wire.codecs import Levels
from .transfers import Transfer

_TIMING = re.compile(r"([a-z_]{1,20});dur=([0-9]{1,9}(?:\.[0-9]{1,6})?)")
STEPS = ("queue", "load", "decode", "compute", "encode")


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """A hint and where its time went; transfers without the worker's own seconds."""

    picture: Levels
    compute_s: float
    queue_s: float
    load_s: float
    codec_s: float  # decoding the photo and encoding the hint, on the worker
    up: Transfer | None  # None: the worker had the photo already
    down: Transfer


def server_timing(header: str, total_s: float) -> dict[str, float]:
    """The seconds of each step that a worker claims, together at most those that passed here."""
    found = {name: float(ms) / 1e3 for name, ms in _TIMING.findall(header[:500]) if name in STEPS}
    share = min(1.0, total_s / max(sum(found.values()), 1e-9))
    return {name: share * seconds for name, seconds in found.items()}


def hint_shape(request: ConditionRequest, photo: Photo) -> tuple[int, ...]:
    height, width, _ = photo.pixels.shape
    size = hint_size(height, width, request.resolution)
    return size if find_detector(request.detector).channels == 1 else (*size, 3)


def hint_cap(request: ConditionRequest, photo: Photo) -> int:
    """More bytes than this hint takes as PNG, however little its pixels compress."""
    level_bytes = find_detector(request.detector).bits // 8
    return int(1.01 * level_bytes * math.prod(hint_shape(request, photo))) + 65536
