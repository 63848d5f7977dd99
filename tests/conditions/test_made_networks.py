"""Networks without weights here, driven by made graphs with the published names and shapes."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from comfyui_tandem.benchmarks.made_graphs import (
    MIDAS,
    U2NET,
    write_constants,
    write_depth_anything,
    write_dwpose,
    write_identity,
    write_mean,
)
from comfyui_tandem.engine.conditions import ConditionRequest, Models, Photo, detect
from comfyui_tandem.engine.conditions.entry_file import read_entry
from comfyui_tandem.engine.conditions.networks.dense import DenseNetwork
from comfyui_tandem.engine.conditions.networks.dense_run import feed, picture
from comfyui_tandem.engine.conditions.networks.dwpose import decode_boxes, decode_simcc
from comfyui_tandem.engine.errors import BadInput

from .material import half_and_half, noise


def test_depth_anything_gets_whole_patches_and_gives_nearness(tmp_path: Path) -> None:
    file = tmp_path / "onnx-community" / "depth-anything-v2-small" / "onnx" / "model.onnx"
    file.parent.mkdir(parents=True)
    write_depth_anything(file)
    found = detect(ConditionRequest("depth_anything", 96), half_and_half(), Models([tmp_path]))
    assert found.shape == (96, 128)
    assert found.dtype == np.uint16  # its floats hold more than 255 steps
    assert found[:, :60].max() == 0 and found[:, -60:].min() == 65535


@pytest.mark.parametrize(
    ("name", "file", "ins", "shape", "keep"),
    [
        ("depth_midas_small", "model-small.onnx", "0", MIDAS, False),
        ("subject_mask", "u2netp.onnx", "input.1", U2NET, True),
    ],
)
def test_bright_comes_out_bright(
    name: str, file: str, ins: str, shape: list[Any], keep: bool, tmp_path: Path
) -> None:
    out = [shape[0], *([1] if keep else []), *shape[2:]]
    write_mean(tmp_path / file, ins, shape, "out", out, keep)
    found = detect(ConditionRequest(name, 64), half_and_half(), Models([tmp_path]))
    most = np.iinfo(found.dtype).max
    assert found[:, :30].max() <= 0.033 * most and found[:, -30:].min() >= 0.967 * most


def test_dwpose_draws_where_its_networks_point(tmp_path: Path) -> None:
    write_dwpose(tmp_path, [(40, 40, 0.9)])  # middle at (320, 320) of a 640 x 640 photo
    request = ConditionRequest("dwpose", 640, {"hands": 0, "face": 0})
    found = detect(request, noise(640, 640), Models([tmp_path]))
    scale = 160 * 1.25 / 384
    ear = (320 - 144 * scale + 63 * scale, 320 - 192 * scale + 36 * scale)  # the left one, point 3
    assert found[int(ear[1]), int(ear[0])].tolist() == [255, 0, 85]


def test_dwpose_draws_hands_and_face_on_request(tmp_path: Path) -> None:
    write_dwpose(tmp_path, [(40, 40, 0.9)])
    models, photo = Models([tmp_path]), noise(320, 320)
    drawn = [
        int((detect(ConditionRequest("dwpose", 320, wish), photo, models) > 0).any(axis=2).sum())
        for wish in ({"hands": 0, "face": 0}, {"hands": 1, "face": 0}, {"hands": 1, "face": 1})
    ]
    assert drawn[0] < drawn[1] < drawn[2]


@pytest.mark.parametrize("boxes", [[], [(40, 40, 0.2)]])
def test_dwpose_without_a_sure_person_is_black(
    boxes: list[tuple[int, int, float]], tmp_path: Path
) -> None:
    write_dwpose(tmp_path, boxes)
    assert not detect(ConditionRequest("dwpose", 64), noise(64, 64), Models([tmp_path])).any()


def test_boxes_are_decoded_on_all_three_grids() -> None:
    found = np.zeros((8400, 85))
    for cell, stride in ((81, 8), (6400 + 41, 16), (8000 + 21, 32)):  # each at row 1, column 1
        found[cell, 4:6] = 1
        places, scores = decode_boxes(found)
        middle = stride  # (1 + offset 0) * stride
        np.testing.assert_allclose(places[cell], [middle - stride / 2] * 2 + [middle * 1.5] * 2)
        assert scores[cell] == 1


def test_bins_are_half_pixels() -> None:
    across, down = np.zeros((133, 576)), np.zeros((133, 768))
    across[:, 101], down[:, 200] = 0.7, 0.4
    places, scores = decode_simcc(across, down)
    assert places[0].tolist() == [50.5, 100.0] and scores[0] == 0.4


@pytest.mark.parametrize("layout", ["nhwc", "nchw", "hwc", "chw"])
@pytest.mark.parametrize("bgr", [False, True])
def test_a_photo_is_fed_as_described(layout: str, bgr: bool) -> None:
    spec = DenseNetwork(
        height=4, width=6, layout=layout, scale=1 / 255, mean=(0.5, 0, 0), std=(1, 2, 1), bgr=bgr
    )
    pixel = np.array([255, 102, 51], np.uint8)
    fed = feed(spec, np.broadcast_to(pixel, (8, 12, 3)).copy())
    shapes = {"nhwc": (1, 4, 6, 3), "nchw": (1, 3, 4, 6), "hwc": (4, 6, 3), "chw": (3, 4, 6)}
    assert fed.shape == shapes[layout] and fed.dtype == np.float32
    channels = np.moveaxis(fed.squeeze(), 0, -1) if "chw" in layout else fed.squeeze()
    ordered = pixel[::-1] if bgr else pixel
    expected = (ordered / 255 - (0.5, 0, 0)) / (1, 2, 1)
    np.testing.assert_allclose(channels[0, 0], expected, rtol=1e-6)


@pytest.mark.parametrize("size", [(3, 8000), (8000, 3), (1, 1), (2160, 3840), (300, 200)])
def test_no_photo_makes_the_network_huge(size: tuple[int, int]) -> None:
    spec = DenseNetwork(short_px=518, multiple=14)
    height, width = feed(spec, np.zeros((*size, 3), np.uint8)).shape[2:]
    assert height % 14 == width % 14 == 0
    assert height * width < 1.05 * 2**20 and min(height, width) >= 252
    if max(size) < 2 * min(size):
        assert min(height, width) == 518


def test_classes_are_never_mixed() -> None:
    spec = DenseNetwork(activation="classes", palette="ade20k", first_class=1)
    classes = np.array([[0, 1], [13, 150]], np.float32)
    found = picture(spec, classes, (64, 64))
    colours = {tuple(one) for one in np.unique(found.reshape(-1, 3), axis=0).tolist()}
    assert colours == {(0, 0, 0), (120, 120, 120), (150, 5, 61), (92, 0, 255)}


FORM: dict[str, Any] = {
    "tandem_detector": 1,
    "name": "mine",
    "file": "mine.onnx",
    "about": "Copies.",
    "polarity": "bright is white",
    "licence": "mine",
    "network": {"height": 32, "width": 48, "layout": "nchw", "channel": 1, "stretch": "min_max"},
}


def test_a_users_network_is_one_json_file(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text(json.dumps(FORM))
    models = Models([tmp_path])
    assert "mine" in models.detectors and "mine.onnx" in str(models.obstacle("mine"))
    write_identity(tmp_path / "mine.onnx", [1, 3, 32, 48])
    assert models.obstacle("mine") is None
    photo = half_and_half(64, 96)
    found = detect(ConditionRequest("mine", 64), photo, models)
    green = cv2.resize(photo.pixels, (48, 32), interpolation=cv2.INTER_AREA)[..., 1]
    expected = cv2.resize((green / np.float32(255)), (96, 64), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(found, (expected * 255).round().astype(np.uint8))
    fine = {**FORM, "network": {**FORM["network"], "bits": 16}}
    (tmp_path / "mine.json").write_text(json.dumps(fine))
    found = detect(ConditionRequest("mine", 64), photo, Models([tmp_path]))
    np.testing.assert_array_equal(found, (expected * 65535).round().astype(np.uint16))


def test_a_users_network_of_normals_makes_colours(tmp_path: Path) -> None:
    """It answers with what it is fed, here -1 to 1: blue is a surface that faces us."""
    fed = {"height": 32, "width": 48, "mean": [127.5] * 3, "std": [127.5] * 3}
    out = {"colours": True, "gain": [-0.5, 0.5, 0.5], "offset": [0.5] * 3}
    (tmp_path / "mine.json").write_text(json.dumps({**FORM, "network": {**fed, **out}}))
    write_identity(tmp_path / "mine.onnx", [1, 3, 32, 48])
    normals = np.zeros((64, 96, 3), np.uint8)
    normals[:, :48], normals[:, 48:] = (128, 128, 255), (255, 128, 128)  # to us; to the right
    models = Models([tmp_path])
    found = detect(ConditionRequest("mine", 64), Photo(normals), models)
    assert models.find("mine").channels == 3 and found.shape == (64, 96, 3)
    assert found[32, 10].tolist() == [127, 128, 255]
    assert found[32, 85].tolist() == [0, 128, 128]  # red faces left


@pytest.mark.parametrize("shape", [[1, 2, 32, 48], [1, 1, 32, 48]])
def test_too_few_channels_for_colours_are_told(shape: list[int], tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text(
        json.dumps({**FORM, "network": {"height": 32, "width": 48, "colours": True}})
    )
    answer = {"out": np.zeros(shape, np.float32)}
    write_constants(tmp_path / "mine.onnx", "in", [1, 3, 32, 48], answer)
    with pytest.raises(BadInput, match=r"channel|output of mine\.onnx"):
        detect(ConditionRequest("mine", 64), noise(64, 96), Models([tmp_path]))


@pytest.mark.parametrize(
    "change",
    [
        {"tandem_detector": 2},
        {"name": "Not A Name"},
        {"network": {"gain": [1, 2]}},
        {"network": {"colours": True, "activation": "reciprocal"}},
        {"file": "../mine.onnx"},
        {"colour": 1},
        {"network": {"height": 1}},
        {"network": {"layout": "whc"}},
        {"network": {"std": [1, 0, 1]}},
        {"network": {"activation": "argmax"}},
        {"network": {"depth": 3}},
        {"network": {"bits": 12}},
        {"network": {"bits": 16, "activation": "argmax", "palette": "ade20k"}},
        {"about": 3},
        {"network": {"height": float("inf")}},
        {"network": {"std": [1, float("nan"), 1]}},
        {"seconds_per_mpixel": 10**400},
        {"seconds_per_mpixel": float("nan")},
        {"seconds_per_mpixel": -5},
        {"bytes_per_pixel": 0},
        {"memory_mb": -1},
    ],
)
def test_a_broken_description_is_refused_and_left_out(
    change: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "mine.json").write_text(json.dumps({**FORM, **change}))
    with pytest.raises(BadInput):
        read_entry(tmp_path / "mine.json")
    with caplog.at_level(logging.WARNING):
        assert "mine" not in Models([tmp_path]).detectors
    assert "mine.json is left out" in caplog.text


@pytest.mark.parametrize("text", ["", "[1]", "{", '{"name": "canny"}', "[" * 100_000])
def test_other_json_files_are_nobodys_business(text: str, tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text(text)
    assert set(Models([tmp_path]).detectors) == set(Models().detectors)


def test_a_taken_name_stays_whose_it_is(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text(json.dumps({**FORM, "name": "canny"}))
    assert Models([tmp_path]).detectors["canny"].run is not None


def test_a_description_survives_json() -> None:
    spec = DenseNetwork(height=8, width=8, mean=(0.1, 0.2, 0.3), activation="sigmoid")
    assert DenseNetwork.from_dict(json.loads(json.dumps(spec.as_dict()))) == spec


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_map_that_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(BadInput, match="NaN or infinity"):
        picture(DenseNetwork(), np.full((4, 4), value, np.float32), (8, 8))


def test_photo_of_one_pixel_and_a_wide_one_fit_any_network(tmp_path: Path) -> None:
    write_mean(tmp_path / "model-small.onnx", "0", MIDAS, "797", [1, 256, 256])
    for size in [(1, 1), (3, 200)]:
        photo = Photo(np.zeros((*size, 3), np.uint8))
        found = detect(ConditionRequest("depth_midas_small", 64), photo, Models([tmp_path]))
        assert found.shape[0] == 64
