"""Detectors without a network: what each value of a hint means."""

from __future__ import annotations

import numpy as np
import pytest
from comfyui_tandem.engine.conditions import ConditionRequest, Photo, detect
from comfyui_tandem.engine.conditions.drawing.normals import draw_normals, normals_of_depth
from comfyui_tandem.engine.conditions.filters.thin import in_steps, scribble_of

from .material import half_and_half, noise, reference


def test_line_art_is_white_on_the_dark_side_and_survives_a_flat_picture() -> None:
    found = detect(ConditionRequest("lineart_standard", 96), half_and_half())
    lit = np.flatnonzero(found.max(axis=0) > 64)
    assert lit.min() >= 40 and lit.max() < 64  # left of the edge in the middle of 128
    flat = Photo(np.full((64, 64, 3), 90, np.uint8))
    assert not detect(ConditionRequest("lineart_standard", 64), flat).any()


def test_line_art_equals_the_reference() -> None:
    reference_module = reference()
    made = reference_module("lineart_standard").LineartStandardDetector()
    photo = noise(128, 192)
    expected = made(photo.pixels, detect_resolution=128, output_type="np")[..., 0]
    np.testing.assert_array_equal(
        detect(ConditionRequest("lineart_standard", 128), photo), expected
    )


def test_a_drawing_becomes_white_strokes() -> None:
    paper = np.full((64, 64, 3), 230, np.uint8)
    paper[30:33] = 20
    found = detect(ConditionRequest("scribble_drawing", 64), Photo(paper))
    assert (found[30:33] == 255).all() and found.sum() == 3 * 64 * 255


def test_shuffle_repeats_with_its_seed_and_leaves_the_global_one_alone() -> None:
    photo = noise(80, 120)
    np.random.seed(7)
    before = np.random.get_state()[1].copy()  # pyright: ignore
    one, same, other = (
        detect(ConditionRequest("shuffle", 80, {"seed": seed}), photo) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # pyright: ignore


def test_shuffle_keeps_the_colours_and_moves_them() -> None:
    photo = half_and_half(256, 256)
    found = detect(ConditionRequest("shuffle", 256), photo)
    assert (found.min(), found.max()) == (0, 255) and 40 < found.mean() < 215
    assert ((found < 8) | (found > 247)).mean() > 0.9, "no colour that the photo has not"
    assert (found != photo.pixels).any(axis=2).mean() > 0.1


def test_colour_squares_have_one_colour_each() -> None:
    found = detect(ConditionRequest("colour", 128, {"square": 64}), noise(128, 128))
    for corner in (found[:64, :64], found[64:, 64:]):
        assert (corner == corner[0, 0]).all()


def test_a_ready_hint_keeps_its_colours_on_request() -> None:
    photo = half_and_half(50, 70)
    mixed = detect(ConditionRequest("ready", 512), photo)
    kept = detect(ConditionRequest("ready", 512, {"keep_colours": 1}), photo)
    assert set(np.unique(kept)) == {0, 255} and len(np.unique(mixed)) > 2


def test_a_ready_hint_of_the_right_size_is_untouched() -> None:
    photo = noise(64, 96)
    np.testing.assert_array_equal(detect(ConditionRequest("ready", 64), photo), photo.pixels)


@pytest.mark.parametrize(
    ("normal", "colour"),
    [
        ((0, 0, 1), (128, 128, 255)),  # to the viewer: blue
        ((-1, 0, 0), (255, 128, 128)),  # left: red
        ((0, 1, 0), (128, 255, 128)),  # up: green
    ],
)
def test_normals_have_the_colours_of_normalbae(
    normal: tuple[int, int, int], colour: tuple[int, int, int]
) -> None:
    assert tuple(draw_normals(np.array([[normal]]))[0, 0].tolist()) == colour


def test_a_floor_faces_up_and_a_wall_faces_us() -> None:
    wall = normals_of_depth(np.full((40, 40), 3.0), 40.0, 0.1, (20, 20))
    np.testing.assert_allclose(wall[20, 20], (0, 0, 1), atol=1e-9)
    below = np.arange(1, 21)[:, None].repeat(40, 1)  # rows under the horizon
    floor = normals_of_depth(40.0 / below, 40.0, 0.01, (20, 0))  # 1 m under the camera
    assert (floor[5:15, 5:35] @ (0, 1, 0) > 0.95).all()


def test_what_is_nearer_below_faces_up_in_a_depth_picture() -> None:
    rows = np.linspace(0, 255, 64).astype(np.uint8)
    photo = Photo(np.broadcast_to(rows[:, None, None], (64, 64, 3)).copy())
    found = detect(ConditionRequest("normals_from_depth", 64), photo)[32, 32].tolist()
    assert found[1] > 200 and abs(found[0] - 128) < 3 and found[2] > 128


def test_steps_are_floor_of_three_shades() -> None:
    shades = np.array([[0.0, 0.32, 0.34, 0.66, 0.67, 1.0]], np.float32)
    assert in_steps(shades).tolist() == [[0.0, 0.0, 0.5, 0.5, 1.0, 1.0]]


def test_scribbles_equal_the_reference() -> None:
    cv2 = pytest.importorskip("cv2")
    reference_module = reference()
    edges = cv2.GaussianBlur(noise(96, 96).pixels[..., 0], (0, 0), 4)
    edges = cv2.normalize(edges, None, 0, 255, cv2.NORM_MINMAX)
    nms = reference_module("util").nms
    expected = cv2.GaussianBlur(nms(edges, 127, 3.0), (0, 0), 3.0)
    expected[expected > 4] = 255
    expected[expected < 255] = 0
    np.testing.assert_array_equal(scribble_of(edges), expected)


def scene(*rows: list[tuple[int, int, int]]) -> Photo:
    """Each cell 32 pixels wide."""
    cells = np.array(rows, np.uint8)
    return Photo(np.ascontiguousarray(cells.repeat(32, axis=0).repeat(32, axis=1)))


def test_a_distance_pass_becomes_near_is_white() -> None:
    photo = scene([(40, 40, 40), (90, 90, 90)], [(140, 140, 140), (240, 240, 240)])
    found = detect(ConditionRequest("rendered_depth", 64), photo)[::32, ::32]
    assert found.tolist() == [[255, 191], [128, 0]]


def test_a_normal_pass_gets_the_colours_of_normalbae() -> None:
    photo = scene([(128, 128, 255), (255, 128, 128)], [(0, 128, 128), (128, 255, 128)])
    found = detect(ConditionRequest("rendered_normals", 64), photo)[::32, ::32]
    facing_us, right, left, up = found.reshape(4, 3).tolist()
    assert (facing_us, up) == ([127, 128, 255], [127, 255, 128])
    assert (right, left) == ([0, 128, 128], [255, 128, 128])  # red faces left


def test_an_object_pass_is_outlined_where_two_meet() -> None:
    photo = scene([(9, 0, 0), (9, 0, 0)], [(9, 0, 0), (9, 0, 1)])
    found = detect(ConditionRequest("rendered_edges", 64), photo)
    expected = np.zeros((64, 64), np.uint8)
    expected[32, 32:] = expected[32:, 32] = 255
    np.testing.assert_array_equal(found, expected)
    large = detect(ConditionRequest("rendered_edges", 512), photo)
    assert (large > 0).sum() == 511, "one pixel wide at any size: colours are not mixed"


def test_a_class_pass_gets_the_colours_of_ade20k() -> None:
    photo = scene([(0, 0, 0), (1, 1, 1)], [(13, 13, 13), (150, 150, 150)])
    found = detect(ConditionRequest("rendered_segments", 128), photo)
    colours = found[::64, ::64].reshape(4, 3).tolist()
    assert colours == [[0, 0, 0], [120, 120, 120], [150, 5, 61], [92, 0, 255]]
    assert len(np.unique(found.reshape(-1, 3), axis=0)) == 4, "classes are not mixed"
