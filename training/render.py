"""Pictures of scenes and, from the same pass, what is true of every pixel."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .figure import KEYPOINTS, SKIN, TROUSERS, body, keypoints
from .scenes import Scenes
from .shapes import BOTTOMS, SOLIDS, Solid
from .words import FIGURE, SHAPES

SIZE = 128
SKY, GROUND = 0, 1
SEGMENTS = ("sky", "ground", *SHAPES)
PALETTE = torch.tensor(
    [
        [180, 220, 250],
        [90, 130, 60],
        [230, 60, 60],
        [60, 90, 230],
        [250, 190, 30],
        [150, 60, 200],
        [30, 200, 190],
        [250, 120, 200],
        [120, 80, 40],
    ],
    dtype=torch.uint8,
)
RGB = torch.tensor(
    [
        [0.86, 0.12, 0.12],
        [0.10, 0.62, 0.18],
        [0.12, 0.25, 0.88],
        [0.95, 0.86, 0.12],
        [0.55, 0.15, 0.75],
        [0.98, 0.52, 0.06],
        [0.95, 0.95, 0.95],
        [0.09, 0.09, 0.10],
    ]
)
# Scene: top of the sky, sky at the horizon, far ground, near ground.
BACKGROUNDS = torch.tensor(
    [
        [[0.35, 0.60, 0.95], [0.75, 0.88, 1.0], [0.45, 0.70, 0.30], [0.25, 0.52, 0.15]],
        [[0.30, 0.70, 0.90], [0.70, 0.92, 0.98], [0.93, 0.84, 0.62], [0.85, 0.72, 0.46]],
        [[0.62, 0.68, 0.76], [0.82, 0.86, 0.90], [0.88, 0.91, 0.96], [0.97, 0.98, 1.0]],
        [[0.03, 0.04, 0.14], [0.12, 0.12, 0.32], [0.17, 0.21, 0.33], [0.11, 0.14, 0.24]],
        [[0.45, 0.25, 0.50], [1.0, 0.60, 0.30], [0.42, 0.24, 0.24], [0.22, 0.12, 0.16]],
        [[0.80, 0.72, 0.60], [0.88, 0.80, 0.68], [0.55, 0.36, 0.22], [0.42, 0.26, 0.15]],
    ]
)
BEACH, SEA = 1, torch.tensor([0.15, 0.42, 0.68])
SKIN_RGB, TROUSERS_RGB = torch.tensor([0.93, 0.70, 0.55]), torch.tensor([0.22, 0.22, 0.30])
FACES = 16  # instance * FACES + face numbers every surface that a line goes round


@dataclass(slots=True)
class Truth:
    """Of N pictures H x W; `keypoints` in pixels, NaN where there is no figure.

    picture [N, 3, H, W] 0..1; depth [N, H, W], near is 1, far and sky 0; normal [N, 3, H, W];
    segment, instance (0 sky, 1 ground, 2 + place), surface [N, H, W]; keypoints [N, 14, 2].
    """

    picture: Tensor
    depth: Tensor
    normal: Tensor
    segment: Tensor
    instance: Tensor
    surface: Tensor
    keypoints: Tensor

    @property
    def edge(self) -> Tensor:
        """[N, H, W] bool: borders of things and the horizon."""
        return borders(self.instance)

    @property
    def line(self) -> Tensor:
        """[N, H, W] bool: edges and the creases within things."""
        return borders(self.surface)


def borders(labels: Tensor) -> Tensor:
    """[N, H, W] bool: where a label differs from its left or upper neighbour's."""
    found = torch.zeros_like(labels, dtype=torch.bool)
    found[:, :, 1:] |= labels[:, :, 1:] != labels[:, :, :-1]
    found[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    return found


@torch.no_grad()
def render(scenes: Scenes, size: int = SIZE) -> Truth:
    """Sky and ground, then things from far to near."""
    axis = (torch.arange(size) + 0.5) / size
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    truth = _background(scenes, y)
    order = torch.where(scenes.present, scenes.base, 9.0).argsort(1)
    for rank in range(order.shape[1]):
        place = order[:, rank]
        for kind in range(len(SHAPES)):
            at = scenes.present & (scenes.shape == kind)
            rows = at.gather(1, place[:, None])[:, 0].nonzero()[:, 0]
            if len(rows):
                _draw(truth, scenes[rows], rows, place[rows], kind, x, y)
    truth.picture.clamp_(0, 1)
    return truth


def _background(scenes: Scenes, y: Tensor) -> Truth:
    n, size = len(scenes), y.shape[0]
    tone = (BACKGROUNDS[scenes.scene] + scenes.sky).clamp(0, 1)[:, :, :, None, None]
    horizon = scenes.horizon[:, None, None]
    up, down = (y / horizon).clamp(0, 1)[:, None], ((y - horizon) / (1 - horizon)).clamp(0, 1)
    ground = ((y - horizon) * size + 0.5).clamp(0, 1)[:, None]
    above = tone[:, 0] * (1 - up) + tone[:, 1] * up
    below = tone[:, 2] * (1 - down[:, None]) + tone[:, 3] * down[:, None]
    picture = above * (1 - ground) + below * ground
    beach = (scenes.scene == BEACH)[:, None, None]
    sea = beach & (y >= horizon) & (y < horizon + 0.07)
    picture = torch.where(sea[:, None], SEA[None, :, None, None], picture)
    land = (y >= horizon).expand(n, size, size)
    normal = torch.zeros(n, 3, size, size)
    normal[:, 1] = torch.where(land, -0.95, 0.0)
    normal[:, 2] = torch.where(land, 0.31, 1.0)
    return Truth(
        picture=picture.clamp(0, 1),
        depth=_ground_depth(y, horizon).expand(n, size, size).clone(),
        normal=normal,
        segment=land.long().clone(),
        instance=land.long().clone(),
        surface=land.long() * FACES + sea.long(),
        keypoints=torch.full((n, len(KEYPOINTS), 2), float("nan")),
    )


def _ground_depth(y: Tensor, horizon: Tensor) -> Tensor:
    return ((y - horizon) / 0.58).clamp(0, 1)


def _draw(
    truth: Truth, scenes: Scenes, rows: Tensor, place: Tensor, kind: int, x: Tensor, y: Tensor
) -> None:
    """Draw the thing at `place` of each of the scenes over rows `rows` of the truth, in place."""
    n, size = len(rows), y.shape[0]
    every = torch.arange(n)

    def at(values: Tensor) -> Tensor:
        return values[every, place][:, None, None]

    radius, centre, base = at(scenes.radius), at(scenes.x), at(scenes.base)
    middle = base - BOTTOMS[kind] * radius
    u, v = (x - centre) / radius, (y - middle) / radius
    paint = (RGB[at(scenes.colour)[:, 0, 0]] * scenes.tint[every, place]).clamp(0, 1)
    colour = paint[:, :, None, None]
    if kind == FIGURE:
        angles = scenes.angles[every, place]
        distance, normal, cloth, part = body(angles, u, v)
        solid = Solid(distance, normal, part)
        colour = torch.where((cloth == SKIN)[:, None], SKIN_RGB[:, None, None], colour)
        colour = torch.where((cloth == TROUSERS)[:, None], TROUSERS_RGB[:, None, None], colour)
        corner = torch.stack([centre[:, 0, 0], middle[:, 0, 0]], 1)[:, None]
        truth.keypoints[rows] = (keypoints(angles) * radius[:, :, :1] + corner) * size
    else:
        solid = SOLIDS[kind](u, v)
    light = _lambert(solid.normal, scenes.light[:, None, None])
    lit = colour * (0.42 + 0.62 * light)[:, None]
    if SHAPES[kind] in ("ball", "ring"):
        lit = lit + (light.clamp(max=1) ** 12 * 0.35)[:, None]
    shadow = ((x - centre) / radius) ** 2 + ((y - base) / (radius * 0.28)) ** 2
    shade = 1 - 0.55 * (1.25 - shadow).clamp(0, 1) * (y >= scenes.horizon[:, None, None])
    cover = (0.5 - solid.distance * radius * size).clamp(0, 1)[:, None]
    old = truth.picture[rows] * shade[:, None]
    truth.picture[rows] = old * (1 - cover) + lit.clamp(0, 1) * cover
    mask = cover[:, 0] > 0.5
    depth = _ground_depth(base, scenes.horizon[:, None, None]) + 0.25 * radius * solid.normal[:, 2]
    surface = (2 + place)[:, None, None] * FACES + solid.face
    for field, value in (
        (truth.depth, depth.clamp(0, 1)),
        (truth.segment, torch.full_like(solid.face, 2 + kind)),
        (truth.instance, (2 + place)[:, None, None].expand_as(solid.face)),
        (truth.surface, surface),
    ):
        field[rows] = torch.where(mask, value, field[rows])
    truth.normal[rows] = torch.where(mask[:, None], solid.normal, truth.normal[rows])


def _lambert(normal: Tensor, light: Tensor) -> Tensor:
    return (normal[:, 0] * light - normal[:, 1] * 0.55 + normal[:, 2] * 0.7).clamp(min=0)
