"""Networks on real photos: each keeps its convention, and finds what is there."""

from __future__ import annotations

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
from comfyui_tandem.engine.conditions.drawing.normals import normals_of_depth
from comfyui_tandem.engine.conditions.drawing.palette import ADE20K
from comfyui_tandem.engine.conditions.drawing.people import LIMBS, Person, draw_people
from comfyui_tandem.engine.conditions.networks.session import Network
from comfyui_tandem.engine.conditions.size import hint_size
from numpy.typing import NDArray

from .material import NETWORKS, PHOTOS, noise, real_models, real_photo

FOCAL_PX, BASE_M, OFFSET_PX, CENTRE = 994.978, 0.193001, 31.086, (311.193, 254.877)


@pytest.fixture(scope="module")
def real() -> Models:
    return real_models()


def hint(name: str, photo: Photo, real: Models, resolution: int = 512, **params: float) -> NDArray:
    return detect(ConditionRequest(name, resolution, params), photo, real)


@pytest.mark.parametrize("name", NETWORKS)
def test_hint_has_the_promised_shape_at_any_size(name: str, real: Models) -> None:
    for size in [(1, 1), (7, 300), (301, 211)]:
        found = hint(name, noise(*size), real, 64)
        expected = hint_size(*size, 64)
        assert found.dtype == np.uint8
        assert found.shape == (expected if DETECTORS[name].channels == 1 else (*expected, 3))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("photo", PHOTOS[:2])
def test_the_same_photo_gives_the_same_hint(name: str, photo: str, real: Models) -> None:
    one, two = (hint(name, real_photo(photo), real, 256) for _ in range(2))
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    ("name", "above", "most_cover", "least_lift", "least_hit"),
    [
        ("softedge_hed_small", 51, 0.385, 1.7, 0.68),
        ("softedge_hed_small", 127, 0.265, 1.85, 0.56),
        ("canny", 0, 0.515, 1.95, 0.97),
    ],
)
def test_edges_lie_where_the_depth_jumps(
    name: str, above: int, most_cover: float, least_lift: float, least_hit: float, real: Models
) -> None:
    """They hit jumps so many times more often than chance does, from 10 cm to half a metre.

    A jump: how much farther the next pixel is. Edges count within 2 pixels. The least hits are
    for half a metre.
    """
    photo, disparity, known = motorcycle()
    edges = hint(name, photo, real, 500)
    edges = cv2.resize(edges, disparity.shape[::-1], interpolation=cv2.INTER_NEAREST)
    near = cv2.dilate((edges > above).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    assert near.mean() <= most_cover
    steps = steps_of(np.where(known, FOCAL_PX * BASE_M / (disparity + OFFSET_PX), np.nan))
    for jump_m in (0.1, 0.2, 0.3, 0.4, 0.5):
        assert (steps > jump_m).sum() > 1000
        assert near[steps > jump_m].mean() >= least_lift * near.mean(), jump_m
    assert near[steps > 0.5].mean() >= least_hit


def steps_of(depth: NDArray) -> NDArray:
    """The larger difference from the pixel above and from the left; 0 where one is unknown."""
    steps = np.zeros_like(depth)
    steps[1:] = np.nan_to_num(np.abs(np.diff(depth, axis=0)))
    steps[:, 1:] = np.maximum(steps[:, 1:], np.nan_to_num(np.abs(np.diff(depth, axis=1))))
    return steps


def test_safe_edges_have_three_shades_before_they_are_enlarged(real: Models) -> None:
    found = hint("softedge_hed_small", real_photo("coffee"), real, 256, safe=1)
    shades, counts = np.unique(found, return_counts=True)
    assert counts[np.isin(shades, [0, 128, 255])].sum() > 0.85 * found.size


def test_a_scribble_is_black_and_white(real: Models) -> None:
    found = hint("scribble_hed_small", real_photo("coffee"), real)
    assert set(np.unique(found)) == {0, 255} and 0.02 < (found > 0).mean() < 0.4


@pytest.mark.parametrize(("photo", "lines"), [("motorcycle", 93), ("astronaut", 30), ("coffee", 6)])
def test_straight_lines_are_counted(photo: str, lines: int, real: Models) -> None:
    from comfyui_tandem.engine.conditions.networks import mlsd

    seen: list[int] = []

    def counted(found: NDArray, size: tuple[int, int]) -> NDArray:
        seen.append(len(found))
        return draw(found, size)

    draw = mlsd.draw_lines
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mlsd, "draw_lines", counted)
        taken = motorcycle()[0] if photo == "motorcycle" else real_photo(photo)
        found = hint("mlsd_small", taken, real)
    assert set(np.unique(found)) == {0, 255}
    assert abs(seen[0] - lines) <= 1  # scores of runtimes differ in the last digits


def test_depth_agrees_with_the_true_one(real: Models) -> None:
    from scipy.stats import spearmanr

    photo, disparity, known = motorcycle()
    found = hint("depth_fast", photo, real)
    found = cv2.resize(found, disparity.shape[::-1], interpolation=cv2.INTER_AREA)
    near, true = found[known].astype(np.float64), disparity[known]
    assert spearmanr(near, true)[0] >= 0.7655  # near is white
    fitted = np.polyval(np.polyfit(near, true, 1), near)
    assert np.abs(fitted - true).mean() < 7.25 < 14.9 < np.abs(true - true.mean()).mean()
    ratio = (fitted + OFFSET_PX) / (true + OFFSET_PX)  # of the depths
    assert (np.maximum(ratio, 1 / ratio) < 1.25).mean() >= 0.84


def test_normals_are_as_true_as_the_network_allows(real: Models) -> None:
    """Where all disparities within 4 pixels are known; "facing us" alone gives 52.5 and 64.4."""
    photo, disparity, known = motorcycle()
    share = cv2.GaussianBlur(known.astype(np.float64), (0, 0), 3)
    depth = FOCAL_PX * BASE_M / (disparity + OFFSET_PX)
    smooth = cv2.GaussianBlur(np.where(known, depth, 0), (0, 0), 3) / np.maximum(share, 1e-9)
    true = normals_of_depth(smooth, FOCAL_PX, 0.01, CENTRE)
    found = hint("normals_fast", photo, real, view=40.8)
    found = cv2.resize(found, disparity.shape[::-1]).astype(np.float64) / 255 * 2 - 1
    found = found * (-1, 1, 1) / np.linalg.norm(found, axis=2, keepdims=True)
    sure = cv2.erode(known.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    facing_us = degrees(true, np.array([0.0, 0, 1]))[sure]
    assert abs(facing_us.mean() - 52.5) < 0.2 and abs(np.median(facing_us) - 64.4) < 0.2
    errors = degrees(true, found)[sure]
    assert errors.mean() <= 45.5 and np.median(errors) <= 40.7, (errors.mean(), np.median(errors))


def degrees(one: NDArray, other: NDArray) -> NDArray:
    return np.degrees(np.arccos((one * other).sum(axis=2).clip(-1, 1)))


def motorcycle() -> tuple[Photo, NDArray, NDArray]:
    """Photo, disparity in pixels, and where it is known."""
    data = pytest.importorskip("skimage.data")
    left, _, disparity = data.stereo_motorcycle()
    known = np.isfinite(disparity)
    return Photo(left), np.where(known, disparity, 0.0), known


def test_the_network_of_depth_is_fed_as_it_was_trained(real: Models) -> None:
    photo, disparity, known = motorcycle()
    network = Network(real.folders[0] / "fastdepth_224.onnx")
    small = cv2.resize(photo.pixels, (224, 224), interpolation=cv2.INTER_AREA)
    metres = np.squeeze(network(small[None])[0]).astype(np.float32) * 0.0717
    metres = cv2.resize(metres, disparity.shape[::-1])
    true = FOCAL_PX * BASE_M / (disparity + OFFSET_PX)
    assert (np.abs(metres - true) / true)[known].mean() < 0.1535
    metres *= np.median(true[known]) / np.median(metres[known])
    assert (np.abs(metres - true) / true)[known].mean() < 0.1365


@pytest.mark.parametrize(
    ("name", "photo", "limbs"),
    [
        ("openpose_small", "couple", 27),
        ("movenet", "squat", 15),
        ("movenet", "astronaut", 6),
    ],
)
def test_people_are_found(name: str, photo: str, limbs: int, real: Models) -> None:
    drawn = people_in(name, real_photo(photo), real)
    ends = [np.isfinite(one.body[list(limb)]).all() for one in drawn for limb in LIMBS]
    assert sum(ends) >= limbs


@pytest.mark.parametrize("photo", ["squat", "astronaut"])
def test_two_networks_see_the_same_person(photo: str, real: Models) -> None:
    taken = real_photo(photo)
    [one], [other] = (people_in(name, taken, real) for name in ("openpose_small", "movenet"))
    apart = (one.body - other.body) * (taken.pixels.shape[1] / taken.pixels.shape[0], 1)
    distances = np.linalg.norm(apart, axis=1)  # in heights of the picture
    distances = distances[np.isfinite(distances)]
    assert len(distances) >= 7
    assert np.median(distances) <= 0.015 and (distances < 0.05).mean() >= 0.75


def people_in(name: str, photo: Photo, real: Models) -> list[Person]:
    """Whom a detector draws."""
    drawn: list[Person] = []

    def seen(found: list[Person], size: tuple[int, int]) -> NDArray:
        drawn.extend(found)
        return draw_people(found, size)

    with pytest.MonkeyPatch.context() as patch:
        for module in ("movenet", "part_fields"):
            patch.setattr(f"comfyui_tandem.engine.conditions.networks.{module}.draw_people", seen)
        assert hint(name, photo, real).any()
    return drawn


@pytest.mark.parametrize("name", ["openpose_small", "movenet"])
@pytest.mark.parametrize("photo", ["chelsea", "coffee"])
def test_nobody_is_black(name: str, photo: str, real: Models) -> None:
    assert not hint(name, real_photo(photo), real).any()


@pytest.mark.parametrize("name", ["rocket", "noise", "flat", "motorcycle"])
def test_a_person_mask_says_when_there_is_nobody(name: str, real: Models) -> None:
    data = pytest.importorskip("skimage.data")
    photo = {
        "rocket": lambda: Photo(data.rocket()),
        "noise": lambda: noise(256, 256),
        "flat": lambda: Photo(np.full((64, 64, 3), 128, np.uint8)),
        "motorcycle": lambda: motorcycle()[0],  # where the network is a little unsure
    }[name]()
    [told] = doubts(DETECTORS["person_mask"], [hint("person_mask", photo, real)])
    assert "no person was found" in told


def test_segments_have_the_colours_of_ade20k(real: Models) -> None:
    found = hint("segment_small", real_photo("squat"), real)
    colours = {tuple(one) for one in np.unique(found.reshape(-1, 3), axis=0).tolist()}
    assert colours <= {(0, 0, 0), *(tuple(one) for one in ADE20K.tolist())}
    assert {(150, 5, 61), (120, 120, 120), (80, 50, 50)} <= colours  # person, wall, floor


def test_a_person_mask_agrees_with_the_person_class(real: Models) -> None:
    for photo, least in (("squat", 0.795), ("couple", 0.555), ("astronaut", 0.715)):
        mask = hint("person_mask", real_photo(photo), real) > 127
        person = (hint("segment_small", real_photo(photo), real) == (150, 5, 61)).all(axis=2)
        assert (mask & person).sum() / (mask | person).sum() >= least, photo


def test_normals_of_the_true_depth_are_close_to_the_true_normals() -> None:
    _, disparity, known = motorcycle()
    share = cv2.GaussianBlur(known.astype(np.float64), (0, 0), 3)
    depth = FOCAL_PX * BASE_M / (disparity + OFFSET_PX)
    smooth = cv2.GaussianBlur(np.where(known, depth, 0), (0, 0), 3) / np.maximum(share, 1e-9)
    sure = cv2.erode(known.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    near = 1 / smooth.clip(*np.quantile(smooth[sure], [0, 1]))  # what is unknown is far or near
    near = (near - near.min()) / np.ptp(near)
    photo = Photo(np.repeat((near * 255).astype(np.uint8)[..., None], 3, axis=2))
    found = detect(ConditionRequest("normals_from_depth", 500), photo)
    found = cv2.resize(found, disparity.shape[::-1]).astype(np.float64) / 255 * 2 - 1
    found = found * (-1, 1, 1) / np.linalg.norm(found, axis=2, keepdims=True)
    true = normals_of_depth(smooth, FOCAL_PX, 0.01, CENTRE)
    assert degrees(true, found)[sure].mean() < 14.5
