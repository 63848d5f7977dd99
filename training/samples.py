"""Stage `samples`: the scenes that the pack ships, and what is true of each as hint pictures."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image, PngImagePlugin
from torch import Tensor

from ..engine.conditions.demo_scene import CAPTION, PARTS, part_file
from .captions import caption
from .hints import skeleton
from .render import PALETTE, render
from .run import Setting
from .scenes import sample_scenes

SEED, DRAWN = 7_000_003, 64  # above every shard's and every benchmark's seed
SAMPLES = {"meadow": 57, "beach": 16, "snow": 32, "night": 59}  # rows of that draw
SAMPLE_PX = 256
FOLDER = Path("demo_models", "scenes")


def train(setting: Setting) -> None:
    """Write every part of every sample into `<folder>/demo_models/scenes`."""
    folder = setting.folder / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for name in SAMPLES:
        told, parts = draw_sample(name)
        note = PngImagePlugin.PngInfo()
        note.add_text(CAPTION, told)
        for part, pixels in parts.items():
            Image.fromarray(pixels.numpy()).save(
                part_file(folder, name, part), optimize=True, pnginfo=note
            )


def draw_sample(name: str) -> tuple[str, dict[str, Tensor]]:
    """Its whole caption, and each part of `PARTS` as [H, W] or [H, W, 3] bytes."""
    scenes, row = sample_scenes(DRAWN, SEED), SAMPLES[name]
    truth = render(scenes[torch.tensor([row])], SAMPLE_PX)
    drawn = (
        _bytes(truth.picture[0].permute(1, 2, 0)),
        _bytes(truth.depth[0]),
        PALETTE[truth.segment[0].long()],
        torch.from_numpy(skeleton(truth.keypoints[0].numpy(), SAMPLE_PX).copy()),
    )
    return str(caption(scenes, row, SEED, full=True)), dict(zip(PARTS, drawn, strict=True))


def _bytes(values: Tensor) -> Tensor:
    return (values * 255).round().byte().contiguous()
