"""The demo scenes that are shipped are those that the renderer draws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from comfyui_tandem.engine.conditions.demo_scene import PARTS, open_scene, part_file, scene_names
from comfyui_tandem.engine.errors import Unavailable
from comfyui_tandem.training.samples import FOLDER, SAMPLES, draw_sample

SHIPPED = Path(__file__).resolve().parents[2] / FOLDER
OTHER_MACHINE = 2  # levels by which another processor may round


@pytest.mark.parametrize("name", SAMPLES)
def test_shipped_scene_is_the_drawn_one(name: str) -> None:
    told, parts = draw_sample(name)
    shipped = open_scene(SHIPPED, name)
    assert shipped.caption == told and "figure" in told
    for part, pixels in parts.items():
        drawn = pixels.numpy()
        drawn = drawn if drawn.ndim == 3 else np.repeat(drawn[..., None], 3, 2)
        found = getattr(shipped, part)
        assert found.shape == drawn.shape == (256, 256, 3)
        assert np.abs(found.astype(int) - drawn).mean() < OTHER_MACHINE
        assert drawn.std() > 1


def test_every_scene_is_listed() -> None:
    assert scene_names(SHIPPED) == sorted(SAMPLES)


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"meadow_picture\.png.*install the pack anew"):
        open_scene(tmp_path, "meadow")
    for part in PARTS:
        part_file(tmp_path, "meadow", part).write_bytes(b"no picture")
    with pytest.raises(Unavailable, match="meadow_picture"):
        open_scene(tmp_path, "meadow")
