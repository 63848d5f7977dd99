"""Hint pictures for the ControlNets from what is true of a scene."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter
from torch import Tensor
from torch.nn import functional as F

from ..engine.conditions import ConditionRequest, Photo, detect
from .figure import BONES
from .measures import THING
from .render import PALETTE, SIZE, borders
from .words import FIGURE

KINDS = ("edge", "depth", "seg", "pose")
EDGE_HINTS = ("canny", "line", "soft")  # one net learns all three
COLOURS = tuple(
    tuple(int(255 * channel) for channel in colour)
    for colour in (
        (1, 0, 0), (1, 0.5, 0), (1, 1, 0), (0.5, 1, 0), (0, 1, 0), (0, 1, 0.5), (0, 1, 1),
        (0, 0.5, 1), (0, 0, 1), (0.5, 0, 1), (1, 0, 1), (1, 0, 0.5), (0.7, 0.7, 0.7),
    )
)  # fmt: skip


def hints(kind: str, stored: dict[str, Tensor], rows: Tensor, ways: list[str]) -> Tensor:
    """[N, 3, H, W] in 0..1 for `rows` of stored scenes; `ways`: which edge hint for each."""
    if kind == "depth":
        return stored["depth"][rows].float()[:, None].expand(-1, 3, -1, -1) / 255
    if kind == "seg":
        return PALETTE[stored["segment"][rows].long()].permute(0, 3, 1, 2).float() / 255
    if kind == "pose":
        drawn = [skeleton(stored["keypoints"][row].numpy()) for row in rows.tolist()]
        return torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2).float() / 255
    edges = [_edge(stored, row, way) for row, way in zip(rows.tolist(), ways, strict=True)]
    return torch.from_numpy(np.stack(edges)).float()[:, None].expand(-1, 3, -1, -1) / 255


def keys(kind: str) -> tuple[str, ...]:
    """What `hints` and `subject` read of a stored scene."""
    return {
        "depth": ("depth", "segment"),
        "seg": ("segment",),
        "pose": ("keypoints", "segment"),
        "edge": ("picture", "surface"),
    }[kind]


def subject(kind: str, stored: dict[str, Tensor], rows: Tensor, side: int) -> Tensor:
    """[N, 1, side, side]: 1 in latent cells of or next to what the hint tells of, else 0.

    A figure for pose, things for depth and segmentation; edges tell of everything.
    """
    if kind == "edge":
        return torch.ones(len(rows), 1, side, side)
    segment = stored["segment"][rows]
    there = segment == THING + FIGURE if kind == "pose" else segment >= THING
    cells = F.max_pool2d(there.float()[:, None], SIZE // side)
    return F.max_pool2d(cells, 3, 1, 1)


def skeleton(joints: np.ndarray, size: int = SIZE) -> np.ndarray:
    """[H, W, 3] bytes: bones in their colours on black, joints as dots; black without a figure."""
    picture, scale = Image.new("RGB", (size, size)), size / SIZE
    if np.isfinite(joints).all():
        draw, dot = ImageDraw.Draw(picture), 1.5 * scale
        points = [(float(x), float(y)) for x, y in joints]
        for (start, end), colour in zip(BONES, COLOURS, strict=True):
            draw.line([points[start], points[end]], fill=colour, width=round(3 * scale))
        for x, y in points:
            draw.ellipse([x - dot, y - dot, x + dot, y + dot], fill=(255, 255, 255))
    return np.asarray(picture)


def _edge(stored: dict[str, Tensor], row: int, way: str) -> np.ndarray:
    """[H, W] bytes; canny as the pack's own detector sees the picture."""
    if way == "canny":
        pixels = stored["picture"][row].permute(1, 2, 0).contiguous().numpy()
        request = ConditionRequest("canny", resolution=SIZE)
        return detect(request, Photo(pixels))
    lines = borders(stored["surface"][row][None].long())[0].numpy()
    drawn = Image.fromarray((lines * 255).astype(np.uint8))
    if way == "soft":
        drawn = drawn.filter(ImageFilter.GaussianBlur(1.5))
        return np.minimum(np.asarray(drawn).astype(np.float32) * 2.5, 255).astype(np.uint8)
    return np.asarray(drawn)
