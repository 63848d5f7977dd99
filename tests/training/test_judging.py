"""Hints and scores: truth scores full marks, a wrong answer does not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from comfyui_tandem.cli import main
from comfyui_tandem.training.captions import caption
from comfyui_tandem.training.hints import EDGE_HINTS, KINDS, hints, skeleton
from comfyui_tandem.training.judge import CELL, THING, Reading, adherence
from comfyui_tandem.training.judge_data import thing_labels
from comfyui_tandem.training.measures import THING as FIRST_THING
from comfyui_tandem.training.measures import hint_scores, mean_iou
from comfyui_tandem.training.render import SIZE, Truth, render
from comfyui_tandem.training.scenes import Scenes, sample_scenes
from comfyui_tandem.training.stages import STAGES
from comfyui_tandem.training.train_text import CLASSES, answer
from comfyui_tandem.training.words import COLOURS
from torch.nn import functional as F

COUNT = 12


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    return sample_scenes(COUNT, seed=11)


@pytest.fixture(scope="module")
def truth(scenes: Scenes) -> Truth:
    return render(scenes)


@pytest.fixture
def perfect(scenes: Scenes, truth: Truth) -> Reading:
    """What a judge without error would read."""
    labels = thing_labels(scenes)
    middle = slice(CELL // 2, None, CELL)
    parts = {
        key: 20.0 * F.one_hot(labels[key], classes + 1).float() for key, classes in THING.items()
    }
    heat = torch.full((COUNT, 14, SIZE // CELL, SIZE // CELL), -50.0)
    for row, joints in enumerate(truth.keypoints):
        if torch.isfinite(joints).all():
            for index, (x, y) in enumerate((joints / CELL).clamp(0, SIZE // CELL - 1).tolist()):
                heat[row, index, int(y), int(x)] = 50.0
    return Reading(
        scene=F.one_hot(scenes.scene, 6).float(),
        **parts,
        segment=F.one_hot(truth.segment[:, middle, middle], 9).permute(0, 3, 1, 2).float(),
        depth=truth.depth[:, middle, middle],
        heat=heat,
        embedding=torch.zeros(COUNT, 64),
    )


def test_a_perfect_reading_agrees_with_every_caption(scenes: Scenes, perfect: Reading) -> None:
    told = [caption(scenes, row, seed=1) for row in range(COUNT)]
    found = adherence(perfect, told)
    assert all(set(values) <= {1.0} for values in found.values())
    assert len(found["shape"]) == sum(len(each.things) for each in told)


def test_a_wrong_colour_is_seen(scenes: Scenes, perfect: Reading) -> None:
    told = [caption(scenes, row, seed=1, full=True) for row in range(COUNT)]
    perfect.colour = perfect.colour.roll(1, -1)
    found = adherence(perfect, told)
    assert sum(found["colour"]) == sum(
        thing.colour == len(COLOURS) for t in told for thing in t.things
    )
    assert sum(found["both"]) == 0 and all(found["shape"])


@pytest.mark.parametrize("kind", KINDS)
def test_truth_keeps_to_its_own_hints(kind: str, truth: Truth, perfect: Reading) -> None:
    own = np.array(hint_scores(kind, truth.picture, perfect, truth))
    assert np.nanmean(own) > (0.7 if kind == "edge" else 0.95)
    other = np.array(hint_scores(kind, truth.picture.roll(1, 0), _rolled(perfect), truth))
    assert np.nanmean(other) < np.nanmean(own) - 0.1


def test_a_wrong_kind_of_thing_costs_its_share_of_the_segments(
    truth: Truth, perfect: Reading
) -> None:
    assert min(mean_iou(perfect, truth)) > 0.95
    one_kind = perfect.segment.clone()
    one_kind[:, FIRST_THING] = perfect.segment[:, FIRST_THING:].amax(1) + 1  # all of the first kind
    seen = Reading(**{n: getattr(perfect, n) for n in Reading.__slots__} | {"segment": one_kind})
    things = hint_scores("seg", truth.picture, seen, truth)
    assert np.mean(mean_iou(seen, truth)) < 0.8 < np.mean(things)


def _rolled(reading: Reading) -> Reading:
    parts = {name: getattr(reading, name).roll(1, 0) for name in Reading.__slots__}
    return Reading(**parts)


@pytest.mark.parametrize("kind", KINDS)
def test_hints_show_their_scene(kind: str, truth: Truth) -> None:
    stored = {
        "picture": (truth.picture * 255).byte(),
        "depth": (truth.depth * 255).byte(),
        "segment": truth.segment,
        "surface": truth.surface,
        "keypoints": truth.keypoints,
    }
    rows = torch.arange(COUNT)
    for way in EDGE_HINTS if kind == "edge" else EDGE_HINTS[:1]:
        pictures = hints(kind, stored, rows, [way] * COUNT)
        assert pictures.shape == (COUNT, 3, SIZE, SIZE)
        assert 0 <= pictures.min() and pictures.max() <= 1
        for row in range(COUNT):
            empty = kind == "pose" and not torch.isfinite(truth.keypoints[row]).all()
            assert bool(pictures[row].any()) != empty


def test_no_figure_no_skeleton() -> None:
    assert not skeleton(np.full((14, 2), np.nan)).any()


def test_answers_fit_the_heads(scenes: Scenes) -> None:
    for row in range(COUNT):
        found = answer(caption(scenes, row, seed=2))
        assert len(found) == len(CLASSES)
        assert all(0 <= one < many for one, many in zip(found, CLASSES, strict=True))


def test_the_command_names_what_is_missing(
    tmp_path: object, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "text"]) == 2
    assert "--folder" in capsys.readouterr().err
    assert main(["train", "latents", "--folder", str(tmp_path)]) == 2
    assert "run the stage that makes it first" in capsys.readouterr().err
    assert main(["train", "text", "--folder", str(tmp_path), "--minutes", "-1"]) == 2
    assert list(STAGES)[:2] == ["adopt", "scenes"] and list(STAGES)[-1] == "export"
