"""Sets of conditions are what their families say, and figures follow from what was drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from comfyui_tandem.benchmarks.scaling_figures import (
    arm_figures,
    search_figures,
    time_figures,
    total,
)
from comfyui_tandem.benchmarks.scaling_sets import ARMS, FAMILIES, block_of_sets

COUNT = 24


@pytest.fixture(scope="module")
def block() -> Any:
    return block_of_sets(COUNT, 5, slice(None))


def test_families_take_turns_and_say_what_they_do(block: Any) -> None:
    assert [one.family for one in block.sets] == [*FAMILIES] * (COUNT // len(FAMILIES))
    bad = {family: set[int]() for family in FAMILIES}
    for one in block.sets:
        bad[one.family].add(sum(not asked.good for asked in one.asked))
        assert 2 <= len(one.asked) <= 3 and one.judged
        assert all(asked.hint.shape == (128, 128, 3) for asked in one.asked)
    assert bad["complementary"] == bad["redundant"] == {0}
    assert all(bad[family] == {1} for family in FAMILIES[2:])
    places = {one.asked.index(next(a for a in one.asked if not a.good))
              for one in block.sets if bad[one.family] == {1}}  # fmt: skip
    assert places == {0, 1, 2}
    nets = [{asked.net for asked in one.asked} for one in block.sets if one.family == "redundant"]
    assert nets == [{"edge"}] * len(nets)


def test_an_empty_hint_is_empty_and_a_noisy_one_is_not_the_scenes(block: Any) -> None:
    for one in block.sets:
        for asked in one.asked:
            assert asked.hint.any() == (asked.good or one.family != "empty")
    [noisy, *_] = [one for one in block.sets if one.family == "noisy"]
    [speckled] = [asked for asked in noisy.asked if not asked.good]
    assert speckled.kind == "canny" and 0.1 < (speckled.hint > 0).mean() < 0.4


def test_a_part_of_all_sets_is_the_same_sets(block: Any) -> None:
    some = block_of_sets(COUNT, 5, slice(6, 12))
    assert [one.number for one in some.sets] == list(range(6, 12))
    for one, other in zip(some.sets, block.sets[6:12], strict=True):
        assert one.told == other.told and one.family == other.family
        same = [np.array_equal(a.hint, b.hint) for a, b in zip(one.asked, other.asked, strict=True)]
        assert all(s for s, asked in zip(same, one.asked, strict=True) if asked.good)
    assert some.only(2).sets == some.sets[2:3]
    assert some.only(2).truth.picture.shape == (1, 3, 128, 128)


def drawn(arm: str, family: str, score: float, calls: int, scales: list[float]) -> dict[str, Any]:
    scores = dict.fromkeys(("edge", "depth", "seg", "pose", "prompt", "distance"), score)
    return {
        "family": family, "judged": ["edge"], "good": [True, True], "scales": scales,
        "calls": calls, "scores": scores,
    }  # fmt: skip


def results() -> dict[str, Any]:
    """Ones score 0.4 of renders' 0.8, estimated 0.5, but 0.396 where conditions are redundant."""
    made: dict[str, Any] = {"fixed": dict.fromkeys(("edge", "depth", "seg", "pose"), 0.75)}
    renders = dict.fromkeys(("edge", "depth", "seg", "pose", "prompt", "distance"), 0.8)
    made["truth_0"] = {"scores": [renders] * 6}
    for arm, score, calls in (*((arm, 0.4, 40) for arm in ARMS), ("fixed", 0.3, 40)):
        made[f"{arm}_0"] = {"sets": [drawn(arm, f, score, calls, [1.0, 1.0]) for f in FAMILIES]}
    made["estimated_0"] = {
        "sets": [
            drawn("estimated", f, 0.396, 21, [1.0, 0.0])
            if f == "redundant"
            else drawn("estimated", f, 0.5, 40, [1.0, 1.0])
            for f in FAMILIES
        ]
    }
    return made


def test_figures_of_arms() -> None:
    found = arm_figures(results())
    assert found["score_ones"] == pytest.approx(0.5)
    assert found["call_cut_redundant_pct"] == pytest.approx(47.5)
    assert found["adherence_drop_redundant_pct"] == pytest.approx(1.0)
    assert found["gain_vs_best_fixed_pct"] == pytest.approx((5 * 25 - 1) / 6)
    assert found["gain_vs_best_fixed_pct_clean"] == pytest.approx((2 * 25 - 1) / 3)
    assert found["gain_lower_pct"] < found["gain_vs_best_fixed_pct"]
    assert found["fixed_scale_pose"] == 0.75
    assert found["pruned_pct_redundant_good"] == 50 and found["mean_scale_wrong_good"] == 1


def test_figures_of_the_search() -> None:
    made = results()
    scores = {"ones": 0.5, "best": 0.7, "knowing": 0.65, "estimated": 0.6}
    rows = [{**scores, "costs": [0.1, 0.01]} for _ in FAMILIES]
    made["search_0"] = {"sets": rows}
    found = search_figures(made)
    assert found["oracle_gap_closed"] == pytest.approx(0.5)
    assert found["searched_knowing"] == pytest.approx(0.65)
    assert found["wrongly_pruned_complementary_pct"] == 0
    made["estimated_0"]["sets"][0]["scales"] = [0.0, 1.0]
    assert search_figures(made)["wrongly_pruned_complementary_pct"] == 100


def test_shares_of_time_are_told_by_family() -> None:
    rows = [{"family": family, "share": 0.6 + 0.1 * (at > 0)} for at, family in enumerate(FAMILIES)]
    found = time_figures({"timed_0": {"sets": rows}})
    assert found["time_share_complementary"] == pytest.approx(0.6)
    assert found["time_share"] == pytest.approx((0.6 + 5 * 0.7) / 6)


def test_only_scores_that_apply_count() -> None:
    scores = {"edge": 0.4, "depth": float("nan"), "seg": 0.0, "prompt": 0.6}
    renders = {"edge": 0.8, "depth": 0.5, "seg": 1.0, "prompt": 1.0}
    assert total(("edge", "depth"), scores, renders) == pytest.approx((0.5 + 0.6) / 2)
