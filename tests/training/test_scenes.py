"""What the renderer says of a picture is what the picture shows."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from comfyui_tandem.training.captions import caption
from comfyui_tandem.training.figure import KEYPOINTS
from comfyui_tandem.training.hints import hints
from comfyui_tandem.training.render import PALETTE, RGB, SEGMENTS, SIZE, render
from comfyui_tandem.training.scenes import Scenes, sample_scenes
from comfyui_tandem.training.words import (
    COLOURS,
    FIGURE,
    SHAPES,
    TOKENS,
    UNSEEN_PAIRS,
    token_rows,
)
from torch.nn import functional as F

pytestmark = pytest.mark.quick
COUNT = 16


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    return sample_scenes(COUNT, seed=5)


def pairs(scenes: Scenes) -> set[tuple[int, int]]:
    colours, shapes = scenes.colour[scenes.present], scenes.shape[scenes.present]
    return set(zip(colours.tolist(), shapes.tolist(), strict=True))


def test_same_seed_same_picture(scenes: Scenes) -> None:
    again = render(sample_scenes(COUNT, seed=5))
    assert torch.equal(render(scenes).picture, again.picture)


def test_held_out_pairs_never_show_up_unless_asked_for() -> None:
    assert not pairs(sample_scenes(3000, seed=1)) & UNSEEN_PAIRS
    assert pairs(sample_scenes(500, seed=1, unseen=True)) == UNSEEN_PAIRS
    assert len(pairs(sample_scenes(3000, seed=1))) == len(SHAPES) * len(COLOURS) - len(UNSEEN_PAIRS)


def test_a_thing_changes_only_its_mask_and_its_shadow(scenes: Scenes) -> None:
    full = render(scenes)
    for place in range(3):
        rows = scenes.present[:, place].nonzero()[:, 0]
        present = scenes.present.clone()
        present[:, place] = False
        without = render(replace(scenes, present=present))
        changed = (full.picture - without.picture).abs().amax(1) > 0.02
        mask = full.instance == 2 + place
        rim = F.max_pool2d((mask | full.edge)[:, None].float(), 3, 1, 1)[:, 0] > 0
        brighter = changed & ~rim & ((full.picture - without.picture).amax(1) > 0.02)
        assert brighter[rows].float().mean() < 5e-4  # a shadow only darkens; tips blur
        assert changed[rows][mask[rows]].float().mean() > 0.85  # black at night is hard to see


def test_things_show_their_colour() -> None:
    """Hue of the lit pixels: the named colour is the nearest by direction."""
    scenes = sample_scenes(40, seed=6)
    truth = render(scenes)
    directions = F.normalize(RGB[:6], dim=1)
    right, seen = 0, 0
    for row, place in scenes.present.nonzero().tolist():
        colour, shape = int(scenes.colour[row, place]), int(scenes.shape[row, place])
        mask = truth.instance[row] == 2 + place
        if colour >= 6 or shape == FIGURE or mask.sum() < 60:
            continue
        shown = F.normalize(truth.picture[row][:, mask].median(1).values, dim=0)
        seen += 1
        right += int((directions @ shown).argmax()) == colour
    assert seen > 25
    assert right / seen > 0.97


def test_strong_steps_in_the_picture_lie_on_lines(scenes: Scenes) -> None:
    truth = render(scenes)
    grey = truth.picture.mean(1)
    step = torch.zeros_like(grey)
    step[:, :, 1:] = grey.diff(dim=2).abs()
    step[:, 1:] = torch.maximum(step[:, 1:], grey.diff(dim=1).abs())
    strong = step > 0.25
    near = F.max_pool2d(truth.line[:, None].float(), 5, 1, 2)[:, 0] > 0
    assert strong.sum() > 500
    assert near[strong].float().mean() > 0.93  # the rest is highlights


def test_nearer_things_hide_farther_ones_and_are_brighter_in_depth(scenes: Scenes) -> None:
    truth = render(scenes)
    for row in range(COUNT):
        near = [
            (float(scenes.base[row, place]), float(truth.depth[row][mask].median()))
            for place in range(3)
            if (mask := truth.instance[row] == 2 + place).sum() > 30
        ]
        near.sort()
        for (base, depth), (later, deeper) in itertools.pairwise(near):
            assert deeper > depth - 0.02 or later - base < 0.03


def test_normals_have_length_one_on_solids(scenes: Scenes) -> None:
    truth = render(scenes)
    things = truth.instance >= 2
    length = truth.normal.pow(2).sum(1).sqrt()[things]
    assert (length - 1).abs().median() < 0.02
    assert length.max() < 1.3


def test_joints_lie_on_the_figure() -> None:
    scenes = sample_scenes(200, seed=7)
    alone = (scenes.present.sum(1) == 1) & ((scenes.shape == FIGURE) & scenes.present).any(1)
    truth = render(scenes[alone.nonzero()[:, 0]])
    assert len(truth.picture) >= 10
    assert torch.isfinite(truth.keypoints).all()
    at = truth.keypoints.floor().long()
    inside = ((at >= 0) & (at < SIZE)).all(-1)
    at = at.clamp(0, SIZE - 1)
    rows = torch.arange(len(at))[:, None].expand(-1, len(KEYPOINTS))
    assert (truth.segment[rows, at[..., 1], at[..., 0]] == 2 + FIGURE)[inside].all()
    assert inside.float().mean() > 0.95


def test_each_segment_has_its_own_colour_in_the_hint(scenes: Scenes) -> None:
    truth = render(scenes)
    assert len(PALETTE) == len(SEGMENTS)
    apart = torch.cdist(PALETTE.float(), PALETTE.float()) + 999 * torch.eye(len(PALETTE))
    assert apart.min() > 60
    rows = torch.arange(COUNT)
    shown = hints("seg", {"segment": truth.segment}, rows, []) * 255
    for row, place in scenes.present.nonzero().tolist():
        mask = truth.instance[row] == 2 + place
        colours = shown[row][:, mask].round().byte().T
        assert (colours == PALETTE[2 + int(scenes.shape[row, place])]).all()


def test_no_keypoints_without_a_figure(scenes: Scenes) -> None:
    truth = render(scenes)
    figures = ((scenes.shape == FIGURE) & scenes.present).any(1)
    assert torch.equal(torch.isfinite(truth.keypoints).all((1, 2)), figures)


def test_captions_say_what_is_there(scenes: Scenes) -> None:
    for row in range(COUNT):
        told = caption(scenes, row, seed=1, full=True)
        assert told == caption(scenes, row, seed=1, full=True)
        assert told.scene == int(scenes.scene[row])
        assert sorted(thing.stands for thing in told.things) == sorted(
            scenes.present[row].nonzero()[:, 0].tolist()
        )
        for thing in told.things:
            assert thing.shape == scenes.shape[row, thing.stands]
            assert COLOURS[thing.colour] in told.words
        assert all(word in TOKENS for word in told.words)
        assert len(told.words) < 44
        assert len(token_rows(told.words)) == 77
