"""A jointed figure: eight angles, fourteen keypoints, a body of capsules."""

from __future__ import annotations

import torch
from torch import Tensor

KEYPOINTS = (
    "head",
    "neck",
    "left shoulder",
    "left elbow",
    "left wrist",
    "right shoulder",
    "right elbow",
    "right wrist",
    "left hip",
    "left knee",
    "left ankle",
    "right hip",
    "right knee",
    "right ankle",
)
BONES = (
    (0, 1),
    (1, 2),
    (2, 3),
    (3, 4),
    (1, 5),
    (5, 6),
    (6, 7),
    (1, 8),
    (8, 9),
    (9, 10),
    (1, 11),
    (11, 12),
    (12, 13),
)
# Angles: upper arm, forearm, thigh, shin of the left side, then of the right; radians from
# straight down, positive away from the body. Rows: standing, waving, jumping.
POSE_ANGLES = torch.tensor(
    [
        [0.35, 0.2, 0.16, 0.06, 0.35, 0.2, 0.16, 0.06],
        [0.35, 0.2, 0.16, 0.06, 1.9, 2.8, 0.16, 0.06],
        [2.2, 2.6, 0.6, 0.2, 2.2, 2.6, 0.6, 0.2],
    ]
)
SPREAD = 0.22  # what chance adds to every angle, radians either way
UPPER_ARM, FOREARM, THIGH, SHIN = 0.52, 0.5, 0.5, 0.52
SHOULDER, HIP, TRUNK, NECK_TO_HEAD = 0.34, 0.2, 0.82, 0.46
ANKLE = 0.8  # height of the lower ankle: below it only the foot's own roundness
SHIRT, TROUSERS, SKIN = 0, 1, 2
# Capsules: from keypoint, to keypoint, radius, cloth.
LIMBS = (
    (8, 9, 0.2, TROUSERS),
    (9, 10, 0.18, TROUSERS),
    (11, 12, 0.2, TROUSERS),
    (12, 13, 0.18, TROUSERS),
    (2, 3, 0.16, SHIRT),
    (3, 4, 0.14, SKIN),
    (5, 6, 0.16, SHIRT),
    (6, 7, 0.14, SKIN),
    (0, 0, 0.34, SKIN),
)


def sample_angles(pose: Tensor, generator: torch.Generator) -> Tensor:
    """[..., 8] joint angles of [...] poses; left and right are swapped half of the time."""
    mean = POSE_ANGLES[pose]
    swap = torch.rand(pose.shape, generator=generator) < 0.5
    mean = torch.where(swap[..., None], mean.roll(4, -1), mean)
    return mean + SPREAD * (torch.rand(mean.shape, generator=generator) * 2 - 1)


def keypoints(angles: Tensor) -> Tensor:
    """[N, 14, 2] x and y (down) in radii of the figure, from [N, 8] angles.

    The lower ankle stands at y = `ANKLE`, whatever the legs do.
    """
    n = len(angles)
    points = torch.zeros(n, len(KEYPOINTS), 2)
    points[:, 1, 1] = -TRUNK
    points[:, 0, 1] = -TRUNK - NECK_TO_HEAD
    for side, sign in ((0, -1.0), (1, 1.0)):
        arm, leg, angle = 2 + 3 * side, 8 + 3 * side, angles[:, 4 * side : 4 * side + 4]
        points[:, arm, 0], points[:, arm, 1] = sign * SHOULDER, -TRUNK + 0.06
        points[:, leg, 0] = sign * HIP
        for start, first in ((arm, 0), (leg, 2)):
            for joint, length in ((0, UPPER_ARM), (1, FOREARM)) if first == 0 else LEG:
                turn = angle[:, first + joint]
                step = length * torch.stack([sign * turn.sin(), turn.cos()], 1)
                points[:, start + joint + 1] = points[:, start + joint] + step
    lowest = torch.maximum(points[:, 10, 1], points[:, 13, 1])
    points[..., 1] += (ANKLE - lowest)[:, None]
    return points


LEG = ((0, THIGH), (1, SHIN))


def body(angles: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Distance [N, H, W], normal [N, 3, H, W], cloth and part [N, H, W] at local u, v [N, H, W]."""
    points = keypoints(angles)
    near = torch.full_like(u, 9.0)
    normal = torch.zeros(len(u), 3, *u.shape[1:])
    cloth, part = torch.zeros_like(u, dtype=torch.long), torch.zeros_like(u, dtype=torch.long)
    waist = points[:, [8, 11]].mean(1)
    trunk = (points[:, 1] + torch.tensor([0.0, 0.18]), waist + torch.tensor([0.0, -0.08]))
    pieces = [(points[:, a], points[:, b], radius, kind) for a, b, radius, kind in LIMBS]
    for index, (start, end, radius, kind) in enumerate([*pieces, (*trunk, 0.36, SHIRT)]):
        du, dv, inside = _capsule(start, end, u, v)
        distance = inside - radius
        nearer = distance < near
        near = torch.where(nearer, distance, near)
        flat = torch.stack([du, dv], 1) / radius
        up = (1 - (flat**2).sum(1, keepdim=True)).clamp(min=0.05).sqrt()
        normal = torch.where(nearer[:, None], torch.cat([flat, up], 1), normal)
        cloth = torch.where(nearer, kind, cloth)
        part = torch.where(nearer, index, part)
    return near, normal, cloth, part


def _capsule(start: Tensor, end: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Offset (u, v) to the segment's nearest point, and its length."""
    along = end - start
    square = (along**2).sum(1).clamp(min=1e-6)

    def wide(value: Tensor) -> Tensor:
        return value[:, None, None]

    pu, pv = u - wide(start[:, 0]), v - wide(start[:, 1])
    share = ((pu * wide(along[:, 0]) + pv * wide(along[:, 1])) / wide(square)).clamp(0, 1)
    du, dv = pu - share * wide(along[:, 0]), pv - share * wide(along[:, 1])
    return du, dv, (du**2 + dv**2 + 1e-8).sqrt()
