"""What is in a scene: up to three things at three places, one of them perhaps a jointed figure."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Self

import torch
from torch import Tensor

from .figure import sample_angles
from .words import COLOURS, FIGURE, PLACES, POSES, SCENES, SHAPES, UNSEEN_PAIRS

PLACE_X = torch.tensor([0.19, 0.5, 0.81])
SMALL, LARGE = (0.105, 0.02), (0.165, 0.025)  # least radius and what chance adds, of the width
FIGURE_CHANCE = 0.35
COUNT_CHANCES = torch.tensor([0.35, 0.4, 0.25])  # one, two, three things


@dataclass(frozen=True, slots=True)
class Scenes:
    """N scenes; things are indexed by place: 0 left, 1 middle, 2 right.

    scene [N]; present, shape, colour, size, pose [N, 3]; radius, x, base [N, 3] in picture
    widths; angles [N, 3, 8] of a figure's joints; horizon [N]; light [N]; sky [N, 4, 3] and
    tint [N, 3, 3] are what chance adds to background and object colours.
    """

    scene: Tensor
    present: Tensor
    shape: Tensor
    colour: Tensor
    size: Tensor
    pose: Tensor
    radius: Tensor
    x: Tensor
    base: Tensor
    angles: Tensor
    horizon: Tensor
    light: Tensor
    sky: Tensor
    tint: Tensor

    def __len__(self) -> int:
        return len(self.scene)

    def __getitem__(self, rows: slice | Tensor) -> Self:
        return type(self)(**{item.name: getattr(self, item.name)[rows] for item in fields(self)})


def sample_scenes(count: int, seed: int, unseen: bool = False) -> Scenes:
    """`count` scenes from a seed; held-out pairs of colour and shape never, or always if `unseen`.

    With `unseen` every thing of every scene is of such a pair.
    """
    generator = torch.Generator().manual_seed(seed)

    def chance(*size: int) -> Tensor:
        return torch.rand(*size, generator=generator)

    def choice(options: int, *size: int) -> Tensor:
        return torch.randint(options, size, generator=generator)

    number = 1 + torch.multinomial(COUNT_CHANCES, count, True, generator=generator)
    present = chance(count, 3).argsort(1).argsort(1) < number[:, None]
    shape = choice(len(SHAPES) - 1, count, 3)
    first = (present.float() * chance(count, 3)).argmax(1)
    person = chance(count) < FIGURE_CHANCE
    shape[person, first[person]] = FIGURE
    colour = _colours(shape, generator, unseen)
    size, pose = choice(2, count, 3), choice(len(POSES), count, 3)
    small = SMALL[0] + SMALL[1] * chance(count, 3)
    radius = torch.where(size == 0, small, LARGE[0] + LARGE[1] * chance(count, 3))
    horizon = 0.42 + 0.12 * chance(count)
    depth = horizon[:, None] + radius * (1.5 + 0.7 * chance(count, 3))
    return Scenes(
        scene=choice(len(SCENES), count),
        present=present,
        shape=shape,
        colour=colour,
        size=size,
        pose=pose,
        radius=radius,
        x=PLACE_X.expand(count, 3) + 0.04 * (chance(count, len(PLACES)) * 2 - 1),
        base=torch.where(shape == FIGURE, depth + 0.1, depth).clamp(max=0.96),
        angles=sample_angles(pose, generator),
        horizon=horizon,
        light=torch.where(chance(count) < 0.5, -0.45, 0.45),
        sky=0.05 * (chance(count, 4, 3) * 2 - 1),
        tint=1 + 0.12 * (chance(count, 3, 3) * 2 - 1),
    )


def _colours(shape: Tensor, generator: torch.Generator, unseen: bool) -> Tensor:
    """[N, 3] colours such that no pair of colour and shape is a held-out one (or every one is)."""
    allowed = torch.zeros(len(SHAPES), len(COLOURS))
    for colour, kind in UNSEEN_PAIRS:
        allowed[kind, colour] = 1
    if not unseen:
        allowed = 1 - allowed
    return torch.multinomial(
        allowed[shape].reshape(-1, len(COLOURS)), 1, generator=generator
    ).reshape(shape.shape)


def shard_seed(seed: int, shard: int) -> int:
    """A seed for the `shard`-th part of a run, far from the seeds of its neighbours."""
    return seed * 1_000_003 + math.comb(shard + 2, 2) + shard
