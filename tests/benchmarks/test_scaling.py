"""Sets of conditions are what their families say, and figures follow from what was drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from comfyui_tandem.benchmarks.scaling_batches import MOST, batches
from comfyui_tandem.benchmarks.scaling_figures import (
    arm_figures,
    joined,
    search_figures,
    time_figures,
)
from comfyui_tandem.benchmarks.scaling_score import total
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


def test_blocks_of_any_number_of_turns_have_the_same_sets(block: Any) -> None:
    blocks = [block_of_sets(COUNT, 5, slice(at, at + 12)) for at in range(0, COUNT, 12)]
    for one, other in zip(block.sets, (s for part in blocks for s in part.sets), strict=True):
        assert (one.number, one.told) == (other.number, other.told)
        for a, b in zip(one.asked, other.asked, strict=True):
            assert (a.kind, a.good) == (b.kind, b.good) and np.array_equal(a.hint, b.hint)


def test_chosen_rows_of_a_block(block: Any) -> None:
    some = block.only(5, 2)
    assert some.sets == (block.sets[5], block.sets[2])
    for row, at in enumerate((5, 2)):
        assert some.truth.picture[row].equal(block.truth.picture[at])


@pytest.mark.parametrize("arm", ARMS)
def test_sets_of_one_batch_ask_the_same_nets_at_the_same_strengths(block: Any, arm: str) -> None:
    strengths = [ARMS[arm](len(one.asked)) for one in block.sets]
    found = batches(block.sets, strengths)
    assert sorted(row for rows in found for row in rows) == list(range(COUNT))
    asked = [
        {
            tuple(sorted(zip((a.net for a in block.sets[row].asked), strengths[row], strict=True)))
            for row in rows
        }
        for rows in found
    ]
    assert all(len(each) == 1 for each in asked)
    assert len({key for each in asked for key in each}) == len(found) < COUNT


def test_no_batch_is_larger_than_most(block: Any) -> None:
    alike = [block.sets[0]] * (2 * MOST + 1)
    found = batches(alike, [[1.0] * len(block.sets[0].asked)] * len(alike))
    assert [len(rows) for rows in found] == [MOST * 2 // 3 + 1] * 3
    assert [row for rows in found for row in rows] == list(range(len(alike)))


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


def test_arms_in_blocks_of_other_sizes_line_up() -> None:
    made = results()
    small = {"truth_0": made.pop("truth_0"), "fixed": made.pop("fixed")}
    for name, block in made.items():
        arm, many = name.removesuffix("_0"), 20 * block["sets"]
        size = 12 if arm == "estimated" else 60  # by name estimated_108 stands before estimated_12
        for at in range(0, len(many), size):
            small[f"{arm}_{at}"] = {"sets": many[at : at + size]}
    assert len(joined(small, "estimated_")) == len(joined(small, "ones_")) == 120
    found, expected = arm_figures(small), arm_figures(results())
    near = {name: value for name, value in expected.items() if "lower" not in name}  # of more sets
    assert {name: found[name] for name in near} == pytest.approx(near)


def test_figures_of_the_search() -> None:
    made = results()
    scores = {"ones": 0.5, "best": 0.7, "knowing": 0.65, "estimated": 0.6}
    rows = [{**scores, "costs": [0.1, 0.01]} for _ in FAMILIES]
    made["search_0"] = {"sets": rows}
    found = search_figures(made)
    assert found["oracle_gap_closed"] == pytest.approx(0.5)
    assert found["searched_knowing"] == pytest.approx(0.65)
    assert found["knowing_gap_closed"] == pytest.approx(2 / 3)
    assert found["oracle_gap_closed_lower"] == pytest.approx(0.5)  # all sets are alike
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
