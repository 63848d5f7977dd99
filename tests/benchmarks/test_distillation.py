"""Figures of distillation follow from scores, and rows from the files that are there."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from comfyui_tandem.benchmarks import distillation
from comfyui_tandem.benchmarks.distillation_draw import COMPACT, FULL, KINDS, NETS, PLAIN, Row
from comfyui_tandem.benchmarks.distillation_figures import (
    adherence_of,
    distillation_figures,
    first,
)
from comfyui_tandem.benchmarks.statistics import RESAMPLES, interval, mean, resamples
from comfyui_tandem.engine.sampling.family_files import CONTROL_NETS, control_file
from comfyui_tandem.engine.sampling.unet_layout import control_to_ldm
from comfyui_tandem.training.files import SHIPPED, open_control_net, open_family
from comfyui_tandem.training.members import COMPARED, UNETS
from comfyui_tandem.training.run import save_weights
from comfyui_tandem.training.train_compact_control import pruned_control_net
from comfyui_tandem.training.train_student import pruned_unet

SCENES = 40
TWO_PHASE, TEACHER = "two_phase", "teacher"


def drawn(share: float, hinted: bool) -> dict[str, list[float]]:
    """Scores of scenes with one to three things, of which this share is right."""
    things = [float(1 + scene % 3) for scene in range(SCENES)]
    right = [count * (scene < share * SCENES) for scene, count in enumerate(things)]
    kinds = {kind: [0.5 * share] * (SCENES - 1) + [np.nan] for kind in KINDS if hinted}
    return {"right": right, "things": things, **kinds}


def found(shares: dict[Row, float]) -> dict[str, float]:
    scores = {row: drawn(share, row.nets != PLAIN) for row, share in shares.items()}
    return distillation_figures(scores, {PLAIN: drawn(1, False), FULL: drawn(1, True)})


def test_resamples_pair_and_the_first_is_the_sample_itself() -> None:
    weights, values = resamples(30), np.arange(30.0) ** 2
    assert weights.shape == (RESAMPLES + 1, 30) and (weights.sum(1) == 30).all()
    means = weights @ values / 30
    assert means[0] == pytest.approx(mean(values.tolist()))
    lower, upper = np.quantile(means[1:], [0.025, 0.975])
    assert (lower, upper) == pytest.approx(interval(values.tolist()), rel=0.1)
    assert (resamples(30) == weights).all()


def test_adherence_counts_things_and_shares_of_what_true_pictures_score() -> None:
    once = np.ones((1, SCENES))
    plain = drawn(0.5, hinted=False)
    told = sum(plain["right"]) / sum(plain["things"])
    assert adherence_of(plain, {}, once)[0] == pytest.approx(told)
    hinted = adherence_of(drawn(0.5, hinted=True), drawn(1, hinted=True), once)[0]
    assert hinted == pytest.approx((told + 0.5) / 2)


def test_ratios_are_the_lower_of_without_and_with_hints() -> None:
    figures = found(
        {
            Row(TEACHER, 20, PLAIN): 1.0,
            Row(TEACHER, 20, FULL): 0.8,
            Row(TWO_PHASE, 4, PLAIN): 0.9,
            Row(TWO_PHASE, 4, FULL): 0.4,
            Row(TWO_PHASE, 4, COMPACT): 0.4,
            Row(TWO_PHASE, 2, PLAIN): 0.5,
            Row("direct", 4, PLAIN): 0.5,
            Row("direct", 4, FULL): 0.5,
        }
    )
    assert figures["adherence_ratio_4step_k0"] == pytest.approx(0.9, abs=0.02)
    assert figures["adherence_ratio_4step"] == figures["adherence_ratio_4step_k3"]
    assert figures["adherence_ratio_4step_k3"] == pytest.approx(0.5, abs=0.02)
    assert "adherence_ratio_2step" not in figures, "it was not drawn with hints"
    assert figures["compact_control_ratio"] == 1.0
    assert figures["two_phase_gain_k0_lower"] > 0 > figures["two_phase_gain"]
    assert figures["two_phase_gain_lower"] == figures["two_phase_gain_k3_lower"]
    assert "larger_teacher_gain" not in figures and "over_fewer_steps_gain" not in figures
    assert figures["judge_told_k0"] == 1.0 and figures["judge_pose"] == 0.5


def test_close_rows_are_compared_on_all_their_scenes_and_with_others_on_as_many_as_those() -> None:
    half, more = drawn(0.5, hinted=False), drawn(0.75, hinted=False)
    rows = {
        Row(TEACHER, 20, PLAIN): first(half, SCENES // 2),
        Row(TWO_PHASE, 4, PLAIN): half,
        Row("direct", 4, PLAIN): more,
    }
    figures = distillation_figures(rows, {PLAIN: drawn(1, False)})
    assert figures["adherence_ratio_4step_k0"] == 1.0  # the first half: all right in both
    assert figures["adherence_two_phase_4_k0"] == 1.0
    assert figures["two_phase_gain_k0"] == pytest.approx(-0.25, abs=0.02)


@pytest.fixture(scope="module")
def whole_family(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The shipped family with every further member pruned from it, not trained; the trainer's."""
    folder, trained = tmp_path_factory.mktemp("family"), tmp_path_factory.mktemp("trained")
    shutil.copytree(SHIPPED, folder, dirs_exist_ok=True)
    family = open_family(folder)
    base = pruned_unet(family.unet, "base").requires_grad_(False)
    told = {"cpu_s": "0", "samples": "0", "head_width": "64"}
    places = [(folder, UNETS["lcm"]), *((trained / "compared", one) for one in COMPARED.values())]
    for place, member in places:
        save_weights(place / member.file, base.state_dict(), told)
    for kind in KINDS:
        net = pruned_control_net(base, open_control_net(family, kind, folder))
        file = folder / CONTROL_NETS / control_file(kind, compact=True)
        save_weights(file, control_to_ldm(net.state_dict()), told)
    return folder, trained


@pytest.mark.comfy
def test_every_row_is_drawn_and_a_second_run_draws_none(
    whole_family: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    folder, trained = whole_family
    settings = distillation.Settings(
        scenes=3, hinted=2, more=1, steps=(4,), rounds=1, folder=str(folder), trained=str(trained)
    )
    figures = distillation.measure(settings, tmp_path)
    rows = {f"{side}_4_{nets}" for side in distillation.SIDES for nets in NETS}
    rows |= {f"teacher_20_{nets}" for nets in NETS}
    assert rows == {
        key.removeprefix("adherence_")
        for key in figures
        if key.removeprefix("adherence_") in rows and 0 <= figures[key] <= 1.5
    }
    # untrained, all few-step members are the same
    assert figures["two_phase_gain"] == figures["larger_teacher_gain"] == 0
    wanted = {"adherence_ratio_4step", "compact_control_ratio", "int8_adherence_ratio"}
    assert wanted | {"int8_time_ratio", *distillation.NEAR} <= {*figures}
    assert 0.2 < figures["int8_size_ratio"] < 0.4
    assert 0 < figures["int8_pixel_difference_k0"] < 8
    monkeypatch.setattr(distillation, "drawn", None)
    assert distillation.measure(settings, tmp_path) == figures


def test_what_is_absent_is_told_and_has_no_part(tmp_path: Path) -> None:
    settings = distillation.Settings(folder=str(tmp_path))
    assert not any("_at_" in name for name in distillation.parts(settings))
    told = "\n".join(distillation.absent(settings))
    for part in ("two_phase", "train lcm-self", "--trained", "train full", "compact_pose"):
        assert part in told
    for name, stage in (("pose", "control-pose"), ("compact_pose", "compact-control-pose")):
        [line] = (line for line in told.splitlines() if f"demo_{name}.safetensors" in line)
        assert f"`tandem train {stage}`" in line
