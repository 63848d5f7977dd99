"""What is said of hints, drawn of people, guessed from names."""

from __future__ import annotations

import numpy as np
import pytest
from comfyui_tandem.engine.conditions import (
    DETECTORS,
    Condition,
    ConditionRequest,
    Hint,
    doubts,
    guess_detectors,
    is_pooled,
)
from comfyui_tandem.engine.conditions.drawing.people import LIMBS, Person, draw_people

from .material import noise, reference

BLACK, GREY = np.zeros((8, 8, 3), np.uint8), np.full((8, 8), 9, np.uint8)


def test_a_flat_hint_is_doubted_and_a_speck_is_not() -> None:
    speck = GREY.copy()
    speck[3, 3] = 10
    told = doubts(DETECTORS["depth_fast"], [GREY, speck])
    assert len(told) == 1 and "picture 1 is one flat colour (9)" in told[0]


def test_a_black_pose_says_that_nobody_was_found() -> None:
    for name in ("openpose", "dwpose", "movenet", "openpose_small", "person_mask"):
        assert "no person was found" in doubts(DETECTORS[name], [BLACK])[0]
    assert "no face was found" in doubts(DETECTORS["face_mesh"], [BLACK])[0]
    assert "no person" not in doubts(DETECTORS["canny"], [BLACK[..., 0]])[0]


def test_a_hint_carries_its_doubts() -> None:
    condition = Condition(ConditionRequest("canny"), (noise(8, 8),))
    assert (
        Hint(condition, (GREY,), "local", 0.0).doubts
        and not Hint(condition, (noise(8, 8).pixels[..., 0],), "local", 0.0).doubts
    )


def body(seed: int) -> Person:
    joints = np.random.default_rng(seed).random((18, 2))
    joints[[3, 11]] = np.nan
    return Person(joints)


def test_people_are_drawn_as_the_reference_draws_them() -> None:
    util = reference()("open_pose.util")
    keypoint = reference()("open_pose.body").Keypoint
    people = [body(0), body(1)]
    expected = np.zeros((300, 200, 3), np.uint8)
    for person in people:
        given = [None if np.isnan(x) else keypoint(x, y) for x, y in person.body.tolist()]
        expected = util.draw_bodypose(expected, given)
    np.testing.assert_array_equal(draw_people(people, (300, 200)), expected)


def test_faces_are_drawn_as_the_reference_draws_them() -> None:
    util = reference()("open_pose.util")
    keypoint = reference()("open_pose.body").Keypoint
    joints = np.random.default_rng(0).random((68, 2)) * 0.9 + 0.05
    plain = Person(body(0).body, face=joints)
    expected = util.draw_facepose(
        draw_people([body(0)], (90, 90)), [keypoint(x, y) for x, y in joints.tolist()]
    )
    np.testing.assert_array_equal(draw_people([plain], (90, 90)), expected)


def test_loose_joints_are_nobody() -> None:
    joints = np.full((18, 2), np.nan)
    joints[[4, 10]] = 0.5
    assert not draw_people([Person(joints)], (32, 32)).any()


def test_limbs_are_in_the_order_of_their_colours() -> None:
    for number, (one, other) in enumerate(LIMBS):
        joints = np.full((18, 2), np.nan)
        joints[one], joints[other] = (0.2, 0.5), (0.8, 0.5)
        drawn = draw_people([Person(joints)], (64, 128))[32, 64]
        from comfyui_tandem.engine.conditions.drawing.people import COLOURS

        assert drawn.tolist() == [int(level * 0.6) for level in COLOURS[number]]


GUESSABLE = [one for one in DETECTORS.values() if one.fits and one.family != "rendered"]


@pytest.mark.parametrize("entry", GUESSABLE, ids=lambda entry: entry.name)
def test_published_names_lead_to_a_detector_of_the_same_family(entry: object) -> None:
    from comfyui_tandem.engine.conditions import Detector

    assert isinstance(entry, Detector)
    guessed = guess_detectors(f"{entry.fits[0]}.safetensors")
    assert guessed
    assert DETECTORS[guessed[0]].family == entry.family


def test_the_two_conventions_of_normals_are_told_apart() -> None:
    assert guess_detectors("control_sd15_normal.pth") == ("normals_midas",)
    assert guess_detectors("control_v11p_sd15_normalbae.pth")[0] == "normals_bae"


def test_a_soft_edge_is_no_hard_one() -> None:
    assert guess_detectors("controlnet_soft_edge.safetensors")[0] == "softedge_hed"
    assert guess_detectors("tandem_demo_edge.safetensors") == ("canny",)


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("t2iadapter_zoedepth_sd15v1.pth", "depth_zoe"),
        ("mistoLine_rank256.safetensors", "softedge_anyline"),
        ("kohya_controllllite_xl_blur.safetensors", "blur"),
    ],
)
def test_names_of_other_families_lead_to_what_their_nets_were_trained_on(
    name: str, first: str
) -> None:
    assert guess_detectors(name)[0] == first


@pytest.mark.parametrize("name", ["model.safetensors", "", "cannyon.pth", "deep.bin"])
def test_other_names_tell_nothing(name: str) -> None:
    assert guess_detectors(name) == ()


@pytest.mark.parametrize(
    ("name", "pooled"),
    [("a_shuffle.pth", True), ("a_shuffle_fp16.safetensors", True), ("shuffle2.pth", False)],
)
def test_pooling_hangs_on_the_name(name: str, pooled: bool) -> None:
    assert is_pooled(name) == pooled


def test_hands_are_drawn_as_the_reference_draws_them() -> None:
    pytest.importorskip("matplotlib")
    util = reference()("open_pose.util")
    keypoint = reference()("open_pose.body").Keypoint
    joints = np.random.default_rng(3).random((21, 2)) * 0.9 + 0.05
    expected = util.draw_handpose(
        draw_people([body(0)], (120, 90)), [keypoint(x, y) for x, y in joints.tolist()]
    )
    drawn = draw_people([Person(body(0).body, hands=(joints,))], (120, 90))
    np.testing.assert_array_equal(drawn, expected)
