"""How well pictures keep to hints: each picture's score for each kind, 0..1, more is better."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from .judge import CELL, Reading
from .render import Truth

STEP, REACH_PX, NEAR_PX = 0.28, 2, 5.0  # gradient that is an edge, tolerance, tolerance of joints
THING = 2  # first segment that is a thing


def hint_scores(kind: str, pictures: Tensor, reading: Reading, truth: Truth) -> list[float]:
    """One score a picture; NaN where the scene has nothing of that kind (pose: no figure)."""
    if kind == "edge":
        return _edge_f1(pictures, truth.edge).tolist()
    if kind == "pose":
        far = (reading.joints - truth.keypoints).pow(2).sum(-1).sqrt()
        near = (far <= NEAR_PX).float().mean(1)
        return torch.where(torch.isfinite(far).all(1), near, torch.nan).tolist()
    middle = slice(CELL // 2, None, CELL)
    things = truth.segment[:, middle, middle] >= THING
    if kind == "seg":
        found = reading.segment.argmax(1) >= THING
        both, either = (things & found).sum((1, 2)), (things | found).sum((1, 2))
        return (both / either.clamp(min=1)).tolist()
    depth = truth.depth[:, middle, middle]
    return [
        _correlation(reading.depth[row][things[row]], depth[row][things[row]])
        for row in range(len(pictures))
    ]


def mean_iou(reading: Reading, truth: Truth) -> list[float]:
    """A picture each: intersection over union, in the mean of the segments that its scene has."""
    middle = slice(CELL // 2, None, CELL)
    true, found = truth.segment[:, middle, middle], reading.segment.argmax(1)
    scores: list[float] = []
    for wanted, seen in zip(true, found, strict=True):
        own = [
            float(((wanted == kind) & (seen == kind)).sum())
            / float(((wanted == kind) | (seen == kind)).sum())
            for kind in wanted.unique()
        ]
        scores.append(sum(own) / len(own))
    return scores


def _edge_f1(pictures: Tensor, truth: Tensor) -> Tensor:
    """[N]: F1 of strong gradients [N, 3, H, W] against true borders, within two pixels."""
    across = (pictures[:, :, :, 2:] - pictures[:, :, :, :-2])[:, :, 1:-1]
    down = (pictures[:, :, 2:] - pictures[:, :, :-2])[:, :, :, 1:-1]
    strong = (across**2 + down**2).sum(1).sqrt() > STEP
    found, true = F.pad(strong.float(), (1, 1, 1, 1))[:, None], truth.float()[:, None]

    def wide(mask: Tensor) -> Tensor:
        return F.max_pool2d(mask, 2 * REACH_PX + 1, 1, REACH_PX)

    precise = (found * wide(true)).sum((1, 2, 3)) / found.sum((1, 2, 3)).clamp(min=1)
    complete = (true * wide(found)).sum((1, 2, 3)) / true.sum((1, 2, 3)).clamp(min=1)
    return 2 * precise * complete / (precise + complete).clamp(min=1e-6)


def _correlation(found: Tensor, true: Tensor) -> float:
    """Pearson's over the pixels of things; NaN where all are equally far."""
    if len(true) < 4 or true.std() < 1e-3:
        return float("nan")
    return float(torch.corrcoef(torch.stack([found, true]))[0, 1])
