"""The rule on made pushes: redundancy, agreement and conflict told apart, in any order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from comfyui_tandem.engine.errors import BadInput
from comfyui_tandem.engine.scaling.cover import cover
from comfyui_tandem.engine.scaling.pushed import Pushed
from comfyui_tandem.engine.scaling.rule import Rule, decide
from comfyui_tandem.engine.scaling.scale import Scale
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

RULE = Rule()
NAMES = ("0:canny", "1:canny", "2:canny")
Rows = NDArray[np.float64]
several = st.integers(1, 5).flatmap(
    lambda count: arrays(np.float64, (count, 6), elements=st.integers(-9, 9))
)


def pushed(
    rows: Rows,
    strengths: tuple[float, ...] = (),
    spans: tuple[tuple[float, float], ...] = (),
    where: float | Rows = 1.0,
) -> Pushed:
    count = len(rows)
    overlap = np.full((count, count), where)
    np.fill_diagonal(overlap, 1.0)
    names = tuple(f"{at}:canny" for at in range(count))
    spans = spans or ((0.0, 1.0),) * count
    return Pushed(names, strengths or (1.0,) * count, spans, rows @ rows.T, overlap)


def scales(*args: object, **kwargs: object) -> list[Scale]:
    return list(decide(pushed(*args, **kwargs), RULE))  # pyright: ignore[reportArgumentType]


def rows(*lines: tuple[float, ...]) -> Rows:
    return np.array(lines, dtype=np.float64)


def test_complementary_conditions_keep_their_strengths() -> None:
    found = scales(rows((3, 0, 0), (0, 2, 0), (0, 0, 1)), (0.7, 1.2, 0.5), where=0.0)
    assert [one.scale for one in found] == [0.7, 1.2, 0.5]
    assert [one.reason for one in found] == [None] * 3
    assert [one.contribution for one in found] == pytest.approx([3, 2, 1])


def test_a_near_copy_is_pruned_and_told_of() -> None:
    _, copy, other = scales(rows((4, 0, 0), (3, 1, 0), (0, 1, 2)))
    assert (copy.scale, other.scale) == (0, 1)
    assert copy.reason == "covered 0.90 by 0:canny" and copy.cover == pytest.approx(0.9)
    assert str(copy) == "1:canny: left out, covered 0.90 by 0:canny"


def test_several_together_cover_what_none_does_alone() -> None:
    *parts, whole = scales(rows((5, 0, 0, 0), (0, 5, 0, 0), (2, 2, 0, 1.5)))
    assert [one.scale for one in parts] == pytest.approx([1.4, 1.4])
    assert whole.pruned and whole.cover == pytest.approx(8 / 10.25)


def test_who_stays_pushes_on_for_who_goes() -> None:
    """The sum, as far as those who stay can push it, is what it was."""
    strong, copy = scales(rows((4, 0), (3, 1)), (0.8, 0.9))
    assert copy.pruned and strong.carried == pytest.approx(0.8 * 3 / 4)
    assert strong.scale == strong.strength + strong.carried
    *parts, whole = scales(rows((5, 0, 0, 0), (0, 5, 0, 0), (2, 3, 0, 1.5)))
    assert whole.pruned and [one.carried for one in parts] == pytest.approx([0.4, 0.6])
    own = decide(pushed(rows((4, 0), (3, 1)), (0.8, 0.9)), Rule(carried=0.0))
    assert [one.scale for one in own] == [0.8, 0.0]


def test_what_is_carried_is_no_more_than_the_strength_of_who_goes() -> None:
    strong, copy = scales(rows((4, 0), (3.9, 0)), (10.0, 0.5))
    assert copy.pruned and strong.carried == 0.5


def test_nobody_pushes_on_after_the_end_that_was_set() -> None:
    lines = rows((4, 0), (3, 0.1))
    longer, gone = scales(lines, spans=((0.0, 1.0), (0.0, 0.5)))
    assert gone.pruned and longer.scale == 1
    later, gone = scales(lines, spans=((0.0, 0.5), (0.2, 0.5)))
    assert gone.pruned and later.carried == pytest.approx(0.75)


def test_who_is_lowered_carries_less() -> None:
    """A copy of the one that gives way in a conflict is lowered with it."""
    first, weak, copy = scales(rows((9, 0), (-6, 3), (-6, 3)), (1.0, 0.8, 0.8))
    assert first.scale == 1.0 and copy.pruned
    assert weak.scale == pytest.approx(RULE.lowest * 1.6)
    assert weak.carried == pytest.approx(RULE.lowest * 0.8)


def test_what_adds_next_to_nothing_is_pruned() -> None:
    strong, weak = scales(rows((10, 0), (0, 0.5)), where=0.0)
    assert not strong.pruned and weak.reason == "adds 0.05 of the strongest"


def test_conflict_is_no_redundancy() -> None:
    strong, against = scales(rows((4, 0), (-3, 1)), (1.0, 0.8))
    assert strong.scale == 1.0 and against.cover == 0.0
    assert against.scale == pytest.approx(0.8 * RULE.lowest)
    assert against.reason == "pushes against 0:canny (-0.95)"


def test_of_two_in_conflict_the_smaller_strength_gives_way() -> None:
    found = scales(rows((4, 0), (-1.5, 3)), (0.5, 1.0))
    cosine = -1.5 / np.hypot(1.5, 3)
    assert [one.scale for one in found] == pytest.approx([0.5 * (1 + cosine), 1.0])


def test_opposed_pushes_at_other_places_are_no_conflict() -> None:
    found = scales(rows((4, 0), (-3, 1)), where=0.1)
    assert [one.scale for one in found] == [1, 1]


def test_who_agrees_with_nobody_is_doubted_where_the_others_agree() -> None:
    among = [(3.0, 1.0, 1.0, 0), (1.0, 3.0, 1.0, 0), (1.0, 1.0, 3.0, 0)]
    *three, lonely = scales(rows(*among, (0.0, 0.0, 0.0, 3.0)))
    assert [one.scale for one in three] == [1, 1, 1]
    assert lonely.scale == RULE.doubted and lonely.agreement == pytest.approx(0)
    assert lonely.reason == "agrees 0.00 as much as the best"
    near = scales(rows((5.0, 3, 0, 0), (5.0, 0, 4, 0), (1.0, 0, 0, 2.8)))
    assert [one.reason for one in near] == [None] * 3  # two alike do not make the third look alone
    strangers = scales(rows((9.0, 0.5, 0, 0), (0.5, 9, 0, 0), (0.0, 0, 9, 0)))
    assert [one.agreement for one in strangers] == [None] * 3  # no two agree enough to judge
    pair = scales(rows(among[0], (0.0, 0.0, 0.0, 3.0)))  # who of two is wrong?
    assert [one.scale for one in pair] == [1, 1]
    assert [one.agreement for one in pair] == [None, None]


def test_who_has_places_of_its_own_is_not_doubted() -> None:
    """A pose beside the edges and lines of something else."""
    three = ((3.0, 1.0, 0), (1.0, 3.0, 0), (0.0, 0.0, 3.0))
    where = np.ones((3, 3))
    assert scales(rows(*three), where=where)[2].scale == RULE.doubted
    where[2, :2] = where[:2, 2] = 0
    found = scales(rows(*three), where=where)
    assert [one.scale for one in found] == [1, 1, 1]
    assert [one.agreement for one in found] == [None] * 3  # each has one judge or none


def test_a_rivals_no_is_no_doubt() -> None:
    """Of two scenes' hints the one that another kind agrees with is not doubted for the other."""
    cosines = np.array([(1.0, 0.6, -0.2), (0.6, 1.0, 0.0), (-0.2, 0.0, 1.0)])
    good, witness, wrong = decide(
        Pushed(NAMES, (1.0,) * 3, ((0.0, 1.0),) * 3, cosines, np.ones((3, 3))), RULE
    )
    assert (good.scale, witness.scale) == (1, 1)
    assert wrong.scale == RULE.doubted


def test_what_adds_something_in_coarse_blocks_alone_stays() -> None:
    lines = rows((10, 0), (0, 0.5))
    alone = pushed(lines, where=0.0)
    assert [one.pruned for one in decide(alone, RULE)] == [False, True]
    there = replace(alone, coarse=rows((2, 0), (0, 1)) @ rows((2, 0), (0, 1)).T)
    assert [one.pruned for one in decide(there, RULE)] == [False, False]
    nowhere = replace(alone, coarse=lines @ lines.T)
    _, weak = decide(nowhere, RULE)
    assert weak.reason == "adds 0.05 of the strongest"


def test_of_equals_the_one_that_lasts_longer_stays() -> None:
    same = rows((1, 2), (1, 2))
    for spans in (((0.0, 0.5), (0.0, 1.0)), ((0.0, 1.0), (0.0, 0.5))):
        found = decide(pushed(same, spans=spans), RULE)
        assert [one.pruned for one in found] == [span == (0.0, 0.5) for span in spans]


def test_a_weak_one_stays_for_when_the_strong_one_has_ended() -> None:
    weak = rows((9, 0), (0, 0.1))
    assert scales(weak)[1].reason == "adds 0.01 of the strongest"
    assert [one.pruned for one in scales(weak, spans=((0.0, 0.3), (0.0, 1.0)))] == [False, False]
    silent = scales(rows((9, 0), (0, 0)), spans=((0.0, 0.3), (0.0, 1.0)))[1]
    assert silent.pruned and silent.reason == "adds nothing"


def test_only_who_lasts_as_long_covers() -> None:
    lines = rows((3, 0), (2, 0.1))
    early, whole = scales(lines, spans=((0.0, 0.5), (0.0, 1.0)))
    assert not early.pruned and not whole.pruned
    _, within = scales(lines, spans=((0.0, 1.0), (0.2, 0.5)))
    assert within.pruned


def test_equals_are_told_apart_by_name() -> None:
    same = pushed(rows((1, 2), (1, 2)))
    assert [one.pruned for one in decide(same, RULE)] == [False, True]
    renamed = replace(same, conds=("1:canny", "0:canny"))
    assert [one.pruned for one in decide(renamed, RULE)] == [True, False]


@given(several, st.randoms(use_true_random=False))
def test_order_does_not_matter(lines: Rows, chance: object) -> None:
    order = list(range(len(lines)))
    chance.shuffle(order)  # pyright: ignore[reportAttributeAccessIssue]
    strengths = tuple(0.5 + 0.1 * at for at in order)
    here = pushed(lines, tuple(0.5 + 0.1 * at for at in range(len(lines))))
    there = Pushed(
        tuple(here.conds[at] for at in order),
        strengths,
        here.spans,
        here.gram[np.ix_(order, order)],
        here.where[np.ix_(order, order)],
    )
    first = {one.cond: one for one in decide(here, RULE)}
    second = {one.cond: one for one in decide(there, RULE)}
    for cond, one in first.items():
        assert second[cond].scale == pytest.approx(one.scale, abs=1e-6)


@given(several, st.floats(0.01, 10))
def test_scales_stay_within_bounds_and_the_strongest_stays(lines: Rows, strength: float) -> None:
    found = scales(lines, (strength,) * len(lines))
    assert all(0 <= one.scale - one.carried <= strength * (1 + 1e-9) for one in found)
    assert sum(one.scale for one in found) <= len(found) * strength * (1 + 1e-9)
    strongest = max(found, key=lambda one: one.push or 0)
    assert strongest.scale >= min(RULE.lowest, RULE.doubted) * strength


@given(several)
def test_duplicates_and_pushes_of_nothing_are_always_pruned(lines: Rows) -> None:
    lines[0, 0] = 9.0  # somebody says something
    whole = np.vstack([lines, lines[:1], np.zeros((1, 6))])
    found = scales(whole)
    assert found[0].pruned or found[-2].pruned
    assert found[-1].pruned


@given(several, st.sampled_from([0.125, 4.0]))
def test_only_proportions_count(lines: Rows, size: float) -> None:
    assert [one.scale for one in scales(lines * size)] == [one.scale for one in scales(lines)]


@given(arrays(np.float64, (4, 6), elements=st.integers(-9, 9)))
def test_cover_is_the_best_mix_without_negative_weights(lines: Rows) -> None:
    energy = lines[3] @ lines[3]
    found = cover(lines @ lines.T, 3, [0, 1, 2])
    best = 0.0
    for chosen in ([], [0], [1], [2], [0, 1], [0, 2], [1, 2], [0, 1, 2]):
        mix, *_ = np.linalg.lstsq(lines[chosen].T, lines[3], rcond=None)
        if len(chosen) and (mix >= -1e-9).all() and energy:
            rest = lines[3] - mix @ lines[chosen]
            best = max(best, 1 - rest @ rest / energy)
    assert found == pytest.approx(best, abs=1e-6)


def test_bad_numbers_are_refused() -> None:
    with pytest.raises(BadInput, match="not finite"):
        pushed(rows((np.nan, 0), (0, 1)))
    with pytest.raises(BadInput, match="name each once"):
        replace(pushed(rows((1, 0), (0, 1))), conds=("0:canny", "0:canny"))
    with pytest.raises(BadInput, match="give all of 2"):
        replace(pushed(rows((1, 0), (0, 1))), strengths=(1.0,))
    with pytest.raises(BadInput, match="rule is"):
        Rule(alone=0.9)
    with pytest.raises(BadInput, match="need 0 <= carried <= scale <= strength"):
        Scale("0:canny", 0.5, 0.6)
    with pytest.raises(BadInput, match="need 0 <= carried <= scale <= strength"):
        Scale("0:canny", 0.5, 0.2, carried=0.3)
    with pytest.raises(BadInput, match=r"carried 0\.\.1"):
        Rule(carried=1.5)
