"""Requests and photos as data."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from comfyui_tandem.engine.conditions import ConditionRequest, Photo
from comfyui_tandem.engine.errors import BadInput

pytestmark = pytest.mark.quick


def test_request_survives_json() -> None:
    request = ConditionRequest("canny", 640, {"low": 80}, 0.7, 0.1, 0.9, "edge")
    assert ConditionRequest.from_dict(json.loads(json.dumps(request.as_dict()))) == request


@pytest.mark.parametrize(
    "change",
    [
        {"resolution": 63},
        {"resolution": 4097},
        {"strength": -0.1},
        {"strength": float("nan")},
        {"start": 0.5, "end": 0.5},
        {"end": 1.01},
        {"where": "cloud"},
        {"version": 2},
        {"colour": "red"},
    ],
)
def test_a_bad_request_is_refused(change: dict[str, object]) -> None:
    form = {**ConditionRequest("canny").as_dict(), **change}
    with pytest.raises(BadInput):
        ConditionRequest.from_dict(form)


def test_a_photo_is_known_by_its_content_and_shape() -> None:
    pixels = np.arange(24, dtype=np.uint8)
    one, same = Photo(pixels.reshape(2, 4, 3)), Photo(pixels.reshape(2, 4, 3).copy())
    turned = Photo(pixels.reshape(4, 2, 3))
    assert one.sha256 == same.sha256 != turned.sha256


def test_a_photo_cannot_be_written_into() -> None:
    photo = Photo(np.zeros((2, 2, 3), np.uint8))
    with pytest.raises(ValueError, match="read-only"):
        photo.pixels[0] = 1


@pytest.mark.parametrize("shape", [(2, 2), (2, 2, 4), (0, 2, 3), (1, 2, 2, 3)])
def test_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(BadInput, match="photo"):
        Photo(np.zeros(shape, np.uint8))


def test_errors_survive_pickling() -> None:
    error = pickle.loads(pickle.dumps(BadInput("size", 3, "choose 4")))
    assert str(error) == "size is 3: choose 4."
