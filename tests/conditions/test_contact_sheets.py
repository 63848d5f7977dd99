"""Every family on real photos, as sheets in test_output/ for a person to look at."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from comfyui_tandem.engine.conditions import (
    DETECTORS,
    ConditionRequest,
    Models,
    Photo,
    detect,
    doubts,
)
from numpy.typing import NDArray

from .material import PHOTOS, noise, real_models, real_photo
from .scene_passes import passes, picture, scene

OUTPUT = Path(__file__).resolve().parents[2] / "test_output" / "conditions"
HIGH_PX, WIDE_PX, TITLE_PX = 200, 300, 16
# Where nothing is found that is the truth: nobody is in the picture, or no line is straight.
EMPTY = {
    *((name, photo) for name in ("movenet", "openpose_small") for photo in ("chelsea", "coffee")),
    *(("face_mesh", photo) for photo in PHOTOS[1:]),  # the faces of people far away are too small
}


@pytest.mark.slow
def test_sheets_of_all_families() -> None:
    models = real_models()
    photos = {name: real_photo(name) for name in PHOTOS}
    families: dict[str, list[str]] = {}
    for name, entry in DETECTORS.items():
        if models.obstacle(name) is None:
            families.setdefault(entry.family, []).append(name)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    for family, names in families.items():
        if family == "rendered":
            rows = _scenes(names, models)
        else:
            rows = [_row(photos)] + [_row(photos, name, models) for name in names]
        file = OUTPUT / f"{family.replace(' ', '_')}.png"
        assert cv2.imwrite(str(file), np.concatenate(rows)[..., ::-1])


def _row(
    photos: dict[str, Photo], name: str | None = None, models: Models | None = None
) -> NDArray[np.uint8]:
    cells: list[NDArray[np.uint8]] = []
    for told, photo in photos.items():
        if name is None:
            cells.append(_cell(photo.pixels, told))
            continue
        if name == "normals_from_depth":  # takes a depth picture for its photo
            near = detect(ConditionRequest("depth_fast", 512), photo, models)
            photo = Photo(np.repeat(near[..., None], 3, axis=2))
        params = {"soften": 8} if name == "normals_from_depth" else {}
        hint = detect(ConditionRequest(name, 512, params), photo, models)
        assert bool(doubts(DETECTORS[name], [hint])) == ((name, told) in EMPTY), (name, told)
        cells.append(_cell(hint, name))
    return np.concatenate(cells, axis=1)


def _scenes(names: list[str], models: Models) -> list[NDArray[np.uint8]]:
    """Scenes, then a pass and its hint in turn."""
    scenes = [scene(seed) for seed in range(5)]
    rows = [[_cell(picture(one).pixels, "scene") for one in scenes]]
    for name in names:
        given = [passes(one)[name] for one in scenes]
        hints = [detect(ConditionRequest(name, 512), one, models) for one in given]
        assert not doubts(DETECTORS[name], hints)
        rows.append([_cell(one.pixels, "pass") for one in given])
        rows.append([_cell(one, name) for one in hints])
    return [np.concatenate(row, axis=1) for row in rows]


def _cell(picture: NDArray[np.uint8], title: str) -> NDArray[np.uint8]:
    colour = np.repeat(picture[..., None], 3, axis=2) if picture.ndim == 2 else picture
    scale = min(HIGH_PX / colour.shape[0], WIDE_PX / colour.shape[1])
    size = (round(colour.shape[1] * scale), round(colour.shape[0] * scale))
    small = np.asarray(cv2.resize(colour, size, interpolation=cv2.INTER_AREA))
    cell = np.full((HIGH_PX + TITLE_PX, WIDE_PX, 3), 40, np.uint8)
    cell[TITLE_PX : TITLE_PX + size[1], : size[0]] = small
    white = (255, 255, 255)
    cv2.putText(cell, title, (2, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.42, white, 1, cv2.LINE_AA)
    return cell


@pytest.mark.parametrize("name", ["canny", "lineart_standard", "person_mask", "depth_fast"])
def test_a_huge_photo_is_no_trouble(name: str) -> None:
    small = noise(60, 80).pixels
    huge = Photo(np.ascontiguousarray(np.repeat(np.repeat(small, 75, 0), 75, 1)))  # 27 megapixels
    models = real_models() if DETECTORS[name].files else None
    assert detect(ConditionRequest(name, 128), huge, models).shape == (128, 168)
