"""People as the OpenPose ControlNet knows them: coloured sticks on black.

Joints are OpenPose's COCO-18: nose, neck, right shoulder, elbow, wrist, left the same, right hip,
knee, ankle, left the same, right eye, left eye, right ear, left ear. Places are shares of the
picture's width and height, NaN where a joint was not found.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..view import Pixels

Joints = NDArray[np.float64]  # [n, 2]: x, y in 0..1

LIMBS = (
    *((1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11)),
    *((11, 12), (12, 13), (1, 0), (0, 14), (14, 16), (0, 15), (15, 17)),
)
_HEX = (
    "ff0000 ff5500 ffaa00 ffff00 aaff00 55ff00 00ff00 00ff55 00ffaa "
    "00ffff 00aaff 0055ff 0000ff 5500ff aa00ff ff00ff ff00aa ff0055"
)
COLOURS = tuple(tuple(bytes.fromhex(one)) for one in _HEX.split())  # of limbs, and of joints
FINGERS = tuple(
    (0 if step == 0 else root + step - 1, root + step)
    for root in (1, 5, 9, 13, 17)
    for step in range(4)
)
STICK_PX, JOINT_PX, FACE_PX = 4, 4, 3


@dataclass(frozen=True, eq=False)
class Person:
    """Joints of one person; hands and face are empty where nobody looked for them."""

    body: Joints  # [18, 2]
    hands: tuple[Joints, ...] = ()  # each [21, 2]
    face: Joints | None = None


def draw_people(people: Iterable[Person], size: tuple[int, int]) -> Pixels:
    """[h, w, 3]: sticks at 60 % brightness, joints in full colour; black without people.

    Joints without a limb between any of them are noise: no person.
    """
    canvas = np.zeros((*size, 3), np.uint8)
    for person in people:
        if not _has_limb(person.body):
            continue
        _draw_body(canvas, person.body)
        for hand in person.hands:
            _draw_hand(canvas, hand)
        if person.face is not None:
            _draw_dots(canvas, person.face, FACE_PX, (255, 255, 255))
    return canvas


def _has_limb(joints: Joints) -> bool:
    seen = [bool(np.isfinite(place).all()) for place in joints]
    return any(seen[one] and seen[other] for one, other in LIMBS)


def _draw_body(canvas: Pixels, joints: Joints) -> None:
    import cv2

    at = joints * (canvas.shape[1], canvas.shape[0])
    for (one, other), colour in zip(LIMBS, COLOURS, strict=False):
        if not np.isfinite(at[[one, other]]).all():
            continue
        (x1, y1), (x2, y2) = at[one].tolist(), at[other].tolist()
        angle = math.degrees(math.atan2(y1 - y2, x1 - x2))
        centre = (int((x1 + x2) / 2), int((y1 + y2) / 2))
        axes = (int(math.hypot(x1 - x2, y1 - y2) / 2), STICK_PX)
        stick = cv2.ellipse2Poly(centre, axes, int(angle), 0, 360, 1)
        cv2.fillConvexPoly(canvas, np.asarray(stick), [int(level * 0.6) for level in colour])
    for place, colour in zip(at, COLOURS, strict=True):
        if np.isfinite(place).all():
            cv2.circle(canvas, (int(place[0]), int(place[1])), JOINT_PX, colour, thickness=-1)


def _draw_hand(canvas: Pixels, joints: Joints) -> None:
    import cv2

    at = joints * (canvas.shape[1], canvas.shape[0])
    for number, (one, other) in enumerate(FINGERS):
        if not np.isfinite(at[[one, other]]).all():
            continue
        colour = [255 * level for level in colorsys.hsv_to_rgb(number / len(FINGERS), 1.0, 1.0)]
        (x1, y1), (x2, y2) = at[[one, other]].astype(int).tolist()
        cv2.line(canvas, (x1, y1), (x2, y2), colour, thickness=2)
    _draw_dots(canvas, joints, JOINT_PX, (0, 0, 255))


def _draw_dots(canvas: Pixels, joints: Joints, radius: int, colour: tuple[int, int, int]) -> None:
    import cv2

    for x, y in (joints * (canvas.shape[1], canvas.shape[0])).tolist():
        if math.isfinite(x) and math.isfinite(y):
            cv2.circle(canvas, (int(x), int(y)), radius, colour, thickness=-1)
