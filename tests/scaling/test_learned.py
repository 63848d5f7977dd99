"""Learned scales: a map that is fitted, kept in a file, and bound by the rule's own promises."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from comfyui_tandem.engine.errors import BadInput
from comfyui_tandem.engine.scaling.calibration import best_in_turns, calibrated
from comfyui_tandem.engine.scaling.decided import decided
from comfyui_tandem.engine.scaling.learned import LOWEST, NAMES, Learned, features
from comfyui_tandem.engine.scaling.learned_file import LearnedForm, read_learned, write_learned
from comfyui_tandem.engine.scaling.pushed import Pushed
from comfyui_tandem.engine.scaling.ridge import fitted
from comfyui_tandem.engine.scaling.rule import Rule, decide
from comfyui_tandem.engine.scaling.settings import Settings

ZERO = (0.0,) * len(NAMES)
ONE = (1.0,) * len(NAMES)


def drawn(seed: int, count: int = 3) -> Pushed:
    """Pushes in many directions: none covers another."""
    chance = np.random.default_rng(seed)
    rows = chance.normal(size=(count, 40)) * chance.uniform(0.5, 1, size=(count, 1))
    where = np.full((count, count), 0.5)
    names = tuple(f"{at}:canny" for at in range(count))
    return Pushed(names, (1.0,) * count, ((0.0, 1.0),) * count, rows @ rows.T, where)


def bias(share: float) -> Learned:
    return Learned(ZERO, ONE, ZERO, share)


def test_shares_lower_and_never_raise() -> None:
    pushed = drawn(0)
    assert [row.scale for row in decide(pushed, Rule(), bias(0.5).shares)] == [0.5] * 3
    rows = decide(pushed, Rule(), bias(7.0).shares)
    assert [(row.scale, row.reason) for row in rows] == [(1.0, None)] * 3
    rows = decide(pushed, Rule(), bias(-7.0).shares)
    assert [row.scale for row in rows] == [LOWEST] * 3
    assert rows[0].reason == "learned to be 0.10 of it"


def test_a_copy_is_left_out_whatever_was_learned() -> None:
    base = drawn(0)
    order = [0, 1, 2, 0]
    doubled = Pushed(
        tuple(f"{at}:canny" for at in range(4)), (1.0,) * 4, ((0.0, 1.0),) * 4,
        base.gram[np.ix_(order, order)], np.ones((4, 4)),
    )  # fmt: skip
    rows = decided(doubled, Settings(learned=bias(0.5)))
    assert [row.pruned for row in rows] == [False, False, False, True]
    assert rows[0].scale == pytest.approx(1.0) and rows[0].carried == pytest.approx(0.5)


def test_features_are_of_those_that_stay() -> None:
    pushed = drawn(0, 4)
    one = features(pushed, [0, 1, 2, 3])
    assert one.shape == (4, len(NAMES)) and np.isfinite(one).all()
    order = [3, 1, 0]
    assert np.allclose(features(pushed, order)[::-1], features(pushed, order[::-1]))
    assert np.allclose(features(pushed, [2])[0, 1:], [0, 0, 0, 0, 0, 0, 0, 1])


def test_a_linear_truth_is_found() -> None:
    chance = np.random.default_rng(1)
    rows = chance.normal(size=(200, len(NAMES)))
    weights = chance.normal(size=len(NAMES)) * 0.05
    wanted = 0.5 + rows @ weights
    found = fitted(rows, wanted, [at // 4 for at in range(200)])
    guessed = (rows - found.mean) / found.spread @ np.array(found.weights) + found.bias
    assert np.abs(guessed - wanted).max() < 0.01


def test_noise_leads_to_the_mean() -> None:
    """Where features tell nothing, a large penalty is chosen."""
    chance = np.random.default_rng(2)
    rows = chance.normal(size=(40, len(NAMES)))
    found = fitted(rows, chance.uniform(0, 1, 40), [at // 4 for at in range(40)])
    assert max(map(abs, found.weights)) < 0.1


class Made:
    """The best share of each condition is a step of its push; a known truth to be found."""

    def __init__(self, seed: int) -> None:
        self.made, self.photo, self.asked = drawn(seed), seed, 0

    def pushed(self) -> Pushed:
        return self.made

    def score(self, scales: Mapping[str, float]) -> float:
        self.asked += 1
        order = np.argsort(self.made.sizes)
        best = dict(zip((self.made.conds[at] for at in order), (0.25, 0.5, 1.0), strict=True))
        return -sum((scales[cond] - best[cond]) ** 2 for cond in self.made.conds)


def test_what_is_learned_beats_the_rule_where_it_can() -> None:
    told: list[str] = []
    cases = [Made(seed) for seed in range(30)]
    found = calibrated(cases, Rule(), 12, told.append)
    assert len(told) == found.sets == 24 and found.held_out_sets == 6
    assert found.conditions == 3 * 24 and found.is_better and found.held_out_photos == 6
    assert found.gain is not None and found.gain[0] > 0
    assert sum(found.gain) / 2 == pytest.approx(found.learned_score - found.rule_score)
    assert found.learned_score > found.rule_score / 2
    assert max(case.asked for case in cases) <= 12
    with pytest.raises(BadInput, match="give 10 or more"):
        calibrated(cases[:3], Rule(), 12, told.append)


class Noted(Made):
    """One of several of a photo, whose score is chance."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.photo, self.tries = number // 3, 0
        self.chance = np.random.default_rng(number)

    def score(self, scales: Mapping[str, float]) -> float:
        self.tries += 1
        return float(self.chance.uniform())


def test_sets_of_one_photo_are_held_out_together() -> None:
    cases = [Noted(number) for number in range(3 * 12)]
    found = calibrated(cases, Rule(), 12, lambda _: None)
    held_out = {case.photo for case in cases if case.tries == 2}  # by the rule and by the map
    assert held_out == {4, 9}
    assert all((case.tries == 2) == (case.photo in held_out) for case in cases)
    assert (found.held_out_sets, found.held_out_photos, found.sets) == (6, 2, 30)


def test_what_chance_explains_is_no_better() -> None:
    from comfyui_tandem.engine.scaling.calibration import interval

    assert interval(np.array([0.5])) is None
    low, high = interval(np.array([1.0, 2.0, 3.0, 4.0])) or (0.0, 0.0)
    assert (low, high) == pytest.approx((0.4457, 4.5543), abs=1e-3)  # 2.5 -+ 3.1824 * 0.6455
    better = [
        calibrated([Noted(3 * seed + 99) for seed in range(start, start + 30)], Rule(), 2, len)
        for start in range(0, 240, 30)
    ]
    ahead = [one for one in better if one.learned_score > one.rule_score]
    assert ahead and sum(one.is_better for one in better) <= 1


def test_turns_end_where_nothing_helps_or_enough_was_tried() -> None:
    asked: list[tuple[float, ...]] = []

    def score(shares: tuple[float, ...]) -> float:
        asked.append(shares)
        return -abs(shares[0] - 0.25) - abs(shares[1] - 1.0)

    assert best_in_turns((1.0, 1.0), (0.25, 0.5, 1.0), score, 99) == (0.25, 1.0)
    assert len(asked) == len(set(asked))
    asked.clear()
    best_in_turns((1.0, 1.0), (0.25, 0.5, 1.0), score, 2)
    assert len(asked) == 2


def test_a_file_keeps_what_was_learned(tmp_path: Path) -> None:
    form = LearnedForm(
        made_of="a test", mean=ZERO, spread=ONE, weights=ONE, bias=0.25, sets=1, conditions=3,
        held_out_sets=1, rule_score=0.5, learned_score=0.6,
    )  # fmt: skip
    path = tmp_path / "own" / "mine.json"
    write_learned(path, form)
    assert read_learned(path) == Learned(ZERO, ONE, ONE, 0.25)
    path.write_text(path.read_text().replace("log of its push", "other"))
    with pytest.raises(BadInput, match="make it again"):
        read_learned(path)
    path.write_text("{}")
    with pytest.raises(BadInput, match="make it again"):
        read_learned(path)
    with pytest.raises(BadInput, match="FileNotFoundError"):
        read_learned(tmp_path / "none.json")
    with pytest.raises(BadInput, match="calibrate again"):
        Learned(ZERO, ZERO, ONE, 0.5)
