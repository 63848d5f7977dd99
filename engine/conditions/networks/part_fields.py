"""OpenPose's heat maps and part affinity fields: joints of many people, and who owns them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..detector import Filter
from ..drawing.people import LIMBS, Joints, Person, draw_people
from ..view import Pixels, View
from .resize import resize
from .session import Network

HEIGHT, WIDTH = 368, 432
PARTS, FIELDS_FROM = 18, 19  # channel 18 is the background
# Channels of the x and y field of each limb, in the order of LIMBS, counted from FIELDS_FROM.
FIELD = (12, 20, 14, 16, 22, 24, 0, 2, 4, 6, 8, 10, 28, 30, 34, 32, 36)
BLUR_PX, PEAK_PX = 3.0, 9
SAMPLES, LEAST_GOOD, LEAST_DOT = 10, 8, 0.1
LEAST_JOINTS = 3  # fewer are no person

Floats = NDArray[Any]


def load_part_fields(files: Mapping[str, Path]) -> Filter:
    [path] = files.values()
    network = Network(path)

    def run(view: View, settings: Mapping[str, float]) -> Pixels:
        small = resize(view.photo, (HEIGHT, WIDTH)).astype(np.float32)
        [maps] = network(small[None])[:1]
        return draw_people(group(maps[0], settings["peak"]), view.size)

    return run


def group(maps: Floats, confidence: float) -> list[Person]:
    """[rows, columns, 57] -> people.

    Notes:
        Peaks of the smoothed heat maps are candidates. A pair of them may be a limb if the field
        between them points along it in 8 of 10 samples; the best mean goes first, and each joint
        is used once for each kind of limb. Limbs that share a joint are one person.
    Source: Cao et al. 2017, arXiv 1611.08050, section 2.3.
    """
    import cv2

    large = np.asarray(cv2.resize(maps, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC))
    heat = np.asarray(cv2.GaussianBlur(large[..., :PARTS], (0, 0), BLUR_PX))
    peaks = [_peaks(heat[..., part], confidence) for part in range(PARTS)]
    people: list[dict[int, int]] = []  # part: number of its peak
    for (start, end), field in zip(LIMBS, FIELD, strict=True):
        at = FIELDS_FROM + field
        for one, other in _limbs(large[..., at : at + 2], peaks[start], peaks[end]):
            _join(people, {start: one, end: other})
    return [Person(_body(found, peaks)) for found in people if len(found) >= LEAST_JOINTS]


def _peaks(heat: Floats, confidence: float) -> NDArray[np.int64]:
    """[k, 2] of x, y: local maxima above `confidence`."""
    import cv2

    around = np.asarray(cv2.dilate(heat, np.ones((PEAK_PX, PEAK_PX), np.uint8)))
    rows, columns = np.nonzero((heat == around) & (heat > confidence))
    return np.stack([columns, rows], axis=1)


def _limbs(
    field: Floats, starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> list[tuple[int, int]]:
    """Pairs of numbers of a start and an end that the field connects, each used once."""
    scored: list[tuple[float, int, int]] = []
    for one, start in enumerate(starts):
        for other, end in enumerate(ends):
            way = (end - start).astype(np.float64)
            length = float(np.linalg.norm(way))
            if length == 0:
                continue
            samples = np.linspace(start, end, SAMPLES).round().astype(int)
            dots = field[samples[:, 1], samples[:, 0]] @ (way / length)
            if (dots > LEAST_DOT).sum() >= LEAST_GOOD:
                scored.append((float(dots.mean()), one, other))
    chosen: list[tuple[int, int]] = []
    for _, one, other in sorted(scored, reverse=True):
        if all(one != a and other != b for a, b in chosen):
            chosen.append((one, other))
    return chosen


def _join(people: list[dict[int, int]], limb: dict[int, int]) -> None:
    """Add a limb to whoever owns one of its joints, uniting two who own one each."""
    owners = [who for who in people if any(who.get(part) == at for part, at in limb.items())]
    if not owners:
        people.append(dict(limb))
        return
    first, *rest = owners
    for other in rest:
        if not set(first) & set(other):
            first.update(other)
            people.remove(other)
    for part, at in limb.items():
        first.setdefault(part, at)


def _body(found: Mapping[int, int], peaks: list[NDArray[np.int64]]) -> Joints:
    body = np.full((PARTS, 2), np.nan)
    for part, at in found.items():
        body[part] = (peaks[part][at] + 0.5) / (WIDTH, HEIGHT)
    return body
