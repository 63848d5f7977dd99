"""The rendered scenes that the pack ships: a picture and what is true of it, ready as hints."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import Unavailable
from .view import Pixels

PARTS = ("picture", "depth", "segmentation", "pose")
CAPTION = "caption"  # key of the PNG's text


@dataclass(frozen=True, eq=False)
class DemoScene:
    """One scene; pictures are [H, W, 3] uint8 of one size.

    depth: near is white, the sky black; segmentation: a colour for each kind of thing; pose:
    the figure's bones in their colours on black.
    """

    picture: Pixels
    depth: Pixels
    segmentation: Pixels
    pose: Pixels
    caption: str


def scene_names(folder: Path) -> list[str]:
    """Scenes whose pictures are there, in alphabetical order."""
    ending = f"_{PARTS[0]}"
    return sorted(path.stem.removesuffix(ending) for path in folder.glob(f"*{ending}.png"))


def open_scene(folder: Path, name: str) -> DemoScene:
    """Reads a scene of `scene_names`.

    Raises:
        Unavailable: a file is missing or no picture.
    """
    pixels: dict[str, Pixels] = {}
    caption = ""
    for part in PARTS:
        file = part_file(folder, name, part)
        try:
            with Image.open(file, formats=("PNG",)) as image:
                caption = image.info.get(CAPTION, caption)
                pixels[part] = np.asarray(image.convert("RGB"))
        except OSError as error:
            raise Unavailable("demo scene", f"{file}: {error}", "install the pack anew") from error
    return DemoScene(**pixels, caption=caption)


def part_file(folder: Path, name: str, part: str) -> Path:
    """Where a part of a scene lies."""
    return folder / f"{name}_{part}.png"
