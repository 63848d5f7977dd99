"""One small network that reads a picture: what stands where, segments, depth, joints, and an
embedding that captions share. In no way part of the models it judges.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import BatchNorm2d, Conv2d, Linear, Module, ReLU, Sequential
from torch.nn import functional as F

from .captions import Caption
from .figure import KEYPOINTS
from .render import SEGMENTS
from .words import COLOURS, PLACES, POSES, SCENES, SHAPES, SIZES

NAME = "judge"
EMBEDDING, TEXT_WIDTH = 64, 128
SHRINK, CELL = 2, 4  # the judge looks at half the size; its maps have a quarter of it
THING = {"shape": len(SHAPES), "colour": len(COLOURS), "size": len(SIZES), "pose": len(POSES)}


@dataclass(slots=True)
class Reading:
    """Of N pictures. Logits: scene [N, 6]; shape, colour, size, pose [N, 3 places, classes + 1],
    the last class: nothing there (pose: no figure); segment [N, 9, h, w]. depth [N, h, w];
    joints [N, 14, 2] in pixels; embedding [N, 64] of length 1.
    """

    scene: Tensor
    shape: Tensor
    colour: Tensor
    size: Tensor
    pose: Tensor
    segment: Tensor
    depth: Tensor
    heat: Tensor
    embedding: Tensor

    @property
    def joints(self) -> Tensor:
        """[N, 14, 2]: centre of mass of the heat, in pixels of the whole picture."""
        n, count, height, width = self.heat.shape
        heat = self.heat.flatten(2).softmax(-1).view(n, count, height, width)
        x = (torch.arange(width, device=heat.device) + 0.5) * CELL
        y = (torch.arange(height, device=heat.device) + 0.5) * CELL
        return torch.stack([(heat.sum(2) * x).sum(-1), (heat.sum(3) * y).sum(-1)], -1)


class Judge(Module):
    def __init__(self) -> None:
        super().__init__()
        self.fine = Sequential(_block(3, 32, 2), _block(32, 48, 1))
        self.middle = _block(48, 96, 2)
        self.coarse = Sequential(_block(96, 128, 2), _block(128, 128, 1))
        self.scene = Linear(128, len(SCENES))
        self.reduce = Conv2d(128, 48, 1)
        each = sum(classes + 1 for classes in THING.values())
        self.things = Sequential(
            Linear(48 * 64, 256), ReLU(), Linear(256, len(PLACES) * each + EMBEDDING)
        )
        self.up = torch.nn.ModuleList([Conv2d(128, 48, 1), Conv2d(96, 48, 1), Conv2d(48, 48, 1)])
        self.maps = Sequential(
            BatchNorm2d(48), ReLU(), Conv2d(48, len(SEGMENTS) + 1 + len(KEYPOINTS), 3, 1, 1)
        )
        self.words = Linear(TEXT_WIDTH, EMBEDDING)  # of the text encoder's end token

    def forward(self, pictures: Tensor) -> Reading:
        """[N, 3, 128, 128] in 0..1, or already halved."""
        x = F.avg_pool2d(pictures, SHRINK) if pictures.shape[-1] == 128 else pictures
        fine = self.fine((x * 2 - 1).contiguous(memory_format=torch.channels_last))
        middle = self.middle(fine)
        coarse = self.coarse(middle)
        flat = self.things(F.relu(self.reduce(coarse)).flatten(1))
        things = flat[:, :-EMBEDDING].view(len(x), len(PLACES), -1)
        parts = things.split([classes + 1 for classes in THING.values()], -1)
        maps = _larger(self.up[0](coarse)) + self.up[1](middle)
        maps = self.maps(_larger(maps) + self.up[2](fine))
        segment, depth, heat = maps.split([len(SEGMENTS), 1, len(KEYPOINTS)], 1)
        return Reading(
            self.scene(coarse.mean((2, 3))),
            *parts,
            segment=segment,
            depth=depth[:, 0],
            heat=heat,
            embedding=F.normalize(flat[:, -EMBEDDING:], dim=1),
        )


def _block(inner: int, outer: int, stride: int) -> Module:
    return Sequential(
        Conv2d(inner, outer, 3, stride, 1, bias=False), BatchNorm2d(outer), ReLU(inplace=True)
    )


def _larger(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="bilinear")


@torch.no_grad()
def read(judge: Judge, pictures: Tensor, batch: int = 50) -> Reading:
    parts = [judge(part) for part in pictures.split(batch)]
    names = [name for name in Reading.__slots__]
    return Reading(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})


def adherence(reading: Reading, captions: list[Caption]) -> dict[str, list[float]]:
    """For each kind of statement, 1 or 0 for every one made: does the picture agree?

    place: the set of places where something stands is the one the caption tells; both: shape
    and colour of the same thing. A thing without a place is looked for where most is.
    """
    found: dict[str, list[float]] = {
        key: [] for key in ("scene", "colour", "shape", "both", "size", "pose", "place")
    }
    nothing = reading.shape.softmax(-1)[..., -1]
    for row, told in enumerate(captions):
        if told.scene is not None:
            found["scene"].append(float(int(reading.scene[row].argmax()) == told.scene))
        filled = {place for place in range(len(PLACES)) if nothing[row, place] < 0.5}
        said = {thing.place for thing in told.things}
        right = len(filled) == 1 if said == {None} else filled == said
        found["place"].append(float(right))
        for thing in told.things:
            place = int(nothing[row].argmin()) if thing.place is None else thing.place
            agrees = {}
            for key in THING:
                wanted = getattr(thing, key)
                if wanted is not None:
                    logits = getattr(reading, key)[row, place]
                    logits = logits if key == "shape" else logits[:-1]
                    agrees[key] = float(int(logits.argmax()) == wanted)
                    found[key].append(agrees[key])
            found["both"].append(agrees["shape"] * agrees["colour"])
    return found
