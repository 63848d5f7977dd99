"""Learning scales by drawing: trials on the demo family, the command, and the node that uses it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.comfy
SCENES = Path(__file__).parents[2] / "demo_models" / "scenes"
DETECTORS = ("canny", "scribble", "blur")


@pytest.fixture(scope="module")
def trials() -> Iterator[list[Any]]:
    """Three of each of the demo's photos, by its edge ControlNet: one step is enough to see."""
    import comfy.controlnet
    import comfy.model_management
    import numpy as np
    from comfyui_tandem.engine.conditions import Photo
    from comfyui_tandem.engine.sampling.family import load_family
    from comfyui_tandem.engine.scaling.trial import Sampling
    from comfyui_tandem.engine.scaling.trial_sets import trials_of_photos
    from comfyui_tandem.training.export import CONTROL_NETS, control_file
    from comfyui_tandem.training.files import SHIPPED
    from PIL import Image

    model, clip, vae = load_family(SHIPPED)
    file = SHIPPED / CONTROL_NETS / control_file("edge")
    edge = comfy.controlnet.load_controlnet(str(file))
    sides = [clip.encode_from_tokens_scheduled(clip.tokenize(text)) for text in ("snow", "")]
    first, second = (
        np.asarray(Image.open(path).convert("RGB"))
        for path in sorted(SCENES.glob("*_picture.png"))[:2]
    )
    photos = [Photo(first[:192]), Photo(second)]  # a wide one and a square one
    sampling = Sampling(model, vae, sides, 1, 4.5, "euler", "normal")
    nets = dict.fromkeys(DETECTORS, edge)
    yield list(trials_of_photos(sampling, nets, photos, 128))
    comfy.model_management.unload_all_models()


def test_sets_are_right_short_and_wrong(trials: list[Any]) -> None:
    from comfyui_tandem.engine.scaling.trial_sets import sets_of_photo

    assert [len(trial.hints) for trial in trials] == [3, 2, 3] * 2
    assert [sets_of_photo(count) for count in (2, 3, 4)] == [2, 3, 3]
    assert [trial.photo for trial in trials] == [0] * 3 + [1] * 3
    assert [trial.good for trial in trials[:3]] == [(True,) * 3, (True,) * 2, (False, True, True)]
    whole, short, wrong, other, *_ = trials
    assert short.hints == whole.hints[1:]
    assert wrong.hints[0].pictures == other.hints[0].pictures
    assert wrong.hints[1:] == whole.hints[1:]
    assert wrong.size == whole.size == (128, 168) != other.size


def test_a_trial_shows_pushes_and_scores_what_is_followed(trials: list[Any]) -> None:
    from comfyui_tandem.engine.errors import BadInput
    from comfyui_tandem.engine.scaling.trial_sets import trials_of_photos

    pushed = trials[0].pushed()
    assert pushed.conds == ("0:canny", "1:scribble", "2:blur")
    assert (pushed.sizes > 0).all()
    full = dict.fromkeys(pushed.conds, 1.0)
    first, second = trials[0].score(full), trials[0].score(full)
    assert first == second and 0 <= first <= 1
    assert trials[0].score({}) != first
    hint, sampling = trials[0].hints[0], trials[0].sampling
    with pytest.raises(BadInput, match="two or more of each"):
        next(trials_of_photos(sampling, {"canny": None}, hint.condition.photos, 128))


def test_likeness_forgives_a_pixel_and_no_more() -> None:
    import numpy as np
    from comfyui_tandem.engine.scaling.trial import likeness

    edges = np.zeros((64, 48), np.uint8)
    edges[20, 8:40] = edges[20:50, 8] = 255
    assert likeness(edges, edges) == pytest.approx(1.0)
    assert likeness(edges, np.roll(edges, 1, 0)) > 0.8
    assert likeness(edges, np.roll(edges, 12, 1)) < 0.5
    assert likeness(edges, 255 - edges) == 0 == likeness(edges, np.zeros_like(edges))
    half = np.kron(edges[::2, ::2], np.ones((1, 1), np.uint8))
    assert likeness(edges, half) > 0.5  # of another size


def test_what_the_command_learns_is_used_by_the_nodes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from comfyui_tandem.cli import main
    from comfyui_tandem.engine.errors import BadInput
    from comfyui_tandem.engine.scaling.learned_file import LearnedForm
    from comfyui_tandem.nodes import learned as choices
    from comfyui_tandem.nodes.apply import ApplyConditions
    from comfyui_tandem.nodes.scales import EstimateScales

    from .chains import both, net, stock
    from .narrow import sample
    from .narrow_nets import asked
    from .scaled import applied, reported

    words = ["mine", "--demo", "--sets", "10", "--steps", "1", "--tries", "2"]
    place = ["--user-directory", str(tmp_path)]
    assert main(["calibrate", "scales", *words, *place]) == 0
    path = tmp_path / "__tandem" / "scales" / "mine.json"
    form = LearnedForm.model_validate_json(path.read_text())
    assert (
        form.sets == 8 and form.held_out_sets == form.held_out_photos == 2 and form.conditions >= 16
    )
    said = capsys.readouterr().out
    assert str(path) in said and f"{form.learned_score:.3f}" in said

    monkeypatch.setattr(choices, "user_folder", lambda: tmp_path / "__tandem")
    assert list(choices.files()) == ["mine"]
    low = replace_in(path, form, weights=(0.0,) * len(form.weights), bias=0.5)
    hints = (asked(net(0), 0, strength=0.8),)
    given = (stock(), *both(), hints, {"samples": torch.zeros(1, 4, 8, 8)}, 1)
    scales, summary, first, *_ = EstimateScales.execute(*given, learned="mine").result
    assert low.bias * 0.8 == pytest.approx(first) and "learned to be 0.50" in summary
    assert scales.rows[0].scale == pytest.approx(first)

    sides = applied(hints, learned="mine")
    [row] = reported(sides, sample(stock(), *sides, steps=2))
    assert row["scale"] == pytest.approx(0.4) and row["reason"] == "learned to be 0.50 of it"
    with pytest.raises(BadInput, match="turn on estimate"):
        applied(hints, learned="mine", estimate=False)
    for node in (EstimateScales, ApplyConditions):
        before = node.fingerprint_inputs("mine")
        assert before != node.fingerprint_inputs()
        replace_in(path, low, bias=0.25)
        assert node.fingerprint_inputs("mine") != before, "made again under the same name"
        replace_in(path, low)
    path.unlink()
    with pytest.raises(BadInput, match="'mine': choose one of no: by the rule, or calibrate"):
        EstimateScales.execute(*given, learned="mine")
    with pytest.raises(BadInput, match="'mine': choose one of"):
        applied(hints, learned="mine")


def replace_in(path: Path, form: Any, **more: Any) -> Any:
    from comfyui_tandem.engine.scaling.learned_file import write_learned

    made = form.model_copy(update=more)
    write_learned(path, made)
    return made
