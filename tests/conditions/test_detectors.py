"""Each detector keeps its convention, at any size."""

from __future__ import annotations

import subprocess
import sys

import cv2
import numpy as np
import pytest
from comfyui_tandem.engine.conditions import DETECTORS, ConditionRequest, detect, obstacle
from comfyui_tandem.engine.conditions.size import fit_photo, hint_size
from comfyui_tandem.engine.errors import BadInput
from hypothesis import given, settings
from hypothesis import strategies as st

from .material import half_and_half, noise

pytestmark = pytest.mark.quick


FORMULAS = [name for name, entry in DETECTORS.items() if not entry.files and obstacle(name) is None]


def test_canny_is_opencv_on_the_fitted_photo() -> None:
    photo = noise(100, 140)
    request = ConditionRequest("canny", resolution=96, params={"low": 50, "high": 120})
    expected = cv2.Canny(fit_photo(photo.pixels, 96), 50, 120)
    np.testing.assert_array_equal(detect(request, photo), expected)


def test_canny_marks_the_edge_white_on_black() -> None:
    hint = detect(ConditionRequest("canny", resolution=96), half_and_half())
    columns = np.flatnonzero(hint.any(axis=0))
    assert set(np.unique(hint)) == {0, 255}
    assert 1 <= len(columns) <= 2 and abs(int(columns.mean()) - 64) <= 1


def test_scribble_draws_on_the_dark_side_of_the_edge() -> None:
    hint = detect(ConditionRequest("scribble", resolution=96), half_and_half())
    columns = np.flatnonzero(hint.any(axis=0))
    assert set(np.unique(hint)) == {0, 255}
    assert columns.min() >= 50 and columns.max() < 64


def test_blur_and_tile_keep_the_colours_and_lose_the_detail() -> None:
    photo = noise(128, 128)
    for name in ("blur", "tile"):
        hint = detect(ConditionRequest(name, resolution=128), photo)
        assert abs(float(hint.mean()) - float(photo.pixels.mean())) < 2
        assert hint.std() < 0.5 * photo.pixels.std()


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("size", [(1, 1), (7, 500), (513, 301), (64, 64)])
def test_hint_has_the_promised_shape(name: str, size: tuple[int, int]) -> None:
    hint = detect(ConditionRequest(name, resolution=64), noise(*size))
    expected = hint_size(*size, 64)
    assert hint.dtype == np.uint8
    assert hint.shape == (expected if DETECTORS[name].channels == 1 else (*expected, 3))


@pytest.mark.parametrize("name", FORMULAS)
def test_photo_is_left_as_it_was(name: str) -> None:
    photo = noise(64, 64)
    before = photo.pixels.copy()
    detect(ConditionRequest(name, resolution=64), photo)
    np.testing.assert_array_equal(photo.pixels, before)


@given(st.integers(1, 6000), st.integers(1, 6000), st.integers(64, 4096))
@settings(max_examples=200, deadline=None)
def test_hint_size_keeps_the_shape_in_whole_cells(height: int, width: int, resolution: int) -> None:
    tall, wide = hint_size(height, width, resolution)
    assert tall % 8 == wide % 8 == 0
    assert abs(min(tall, wide) - resolution) <= 4
    assert abs(tall * width / height - wide) <= 4 + 4 * width / height + 1e-6


@pytest.mark.parametrize(
    ("params", "seen"),
    [
        ({"low": 0}, "low is 0"),
        ({"low": float("nan")}, "low is nan"),
        ({"low": 1.5}, "low is 1.5"),
        ({"low": True}, "low is True"),
        ({"low": "9"}, "low is '9'"),
        ({"sigma": 3}, "parameter is 'sigma'"),
    ],
)
def test_a_parameter_out_of_range_is_named(params: dict[str, float], seen: str) -> None:
    with pytest.raises(BadInput, match=seen):
        detect(ConditionRequest("canny", params=params), noise(64, 64))


def test_an_unknown_detector_is_told_what_there_is() -> None:
    with pytest.raises(BadInput, match=r"'cany': choose one of canny, scribble"):
        detect(ConditionRequest("cany"), noise(64, 64))


def test_the_registry_needs_neither_torch_nor_opencv() -> None:
    code = (
        "import sys, comfyui_tandem.engine.conditions as c; assert c.DETECTORS; "
        "print(sorted({'torch', 'cv2', 'onnxruntime', 'comfy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
