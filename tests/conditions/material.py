"""Photos and weights that lie beside the repository; tests that need them skip without."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from comfyui_tandem.engine.conditions import Models, Photo
from PIL import Image

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
PHOTOS = ("astronaut", "chelsea", "coffee", "couple", "squat")
NETWORKS = (
    *("softedge_hed_small", "scribble_hed_small", "mlsd_small", "depth_fast", "normals_fast"),
    *("openpose_small", "movenet", "person_mask", "segment_small"),
)


def real_models() -> Models:
    folder = DATA / "onnx"
    if not folder.is_dir():
        pytest.skip(f"no weights in {folder}")
    return Models([folder])


def real_photo(name: str) -> Photo:
    file = DATA / "photos" / f"{name}.png"
    if not file.is_file():
        pytest.skip(f"no photo {file}")
    return Photo(np.asarray(Image.open(file).convert("RGB")))


def reference() -> Callable[[str], Any]:
    """What imports a module of controlnet-aux."""
    if importlib.util.find_spec("controlnet_aux") is None:
        pytest.skip("controlnet-aux is not installed")
    from comfyui_tandem.engine.conditions.reference.package import reference_module

    return reference_module


def noise(height: int, width: int, seed: int = 0) -> Photo:
    return Photo(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def half_and_half(height: int = 96, width: int = 128) -> Photo:
    """Black left, white right: one vertical edge in the middle."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, width // 2 :] = 255
    return Photo(pixels)
