"""What becomes of a step's numbers beside the rule: levels, and what was carried before."""

from __future__ import annotations

import numpy as np
import pytest
from comfyui_tandem.engine.scaling.decided import decided
from comfyui_tandem.engine.scaling.pushed import Pushed
from comfyui_tandem.engine.scaling.rule import decide
from comfyui_tandem.engine.scaling.settings import Settings

LEVELS = Settings(levels=True)


def pushed(
    *lines: tuple[float, ...], strengths: tuple[float, ...] = (), coarse: np.ndarray | None = None
) -> Pushed:
    rows = np.array(lines, dtype=np.float64)
    count = len(rows)
    names = tuple(f"{at}:canny" for at in range(count))
    strengths = strengths or (1.0,) * count
    where = np.ones((count, count))
    return Pushed(names, strengths, ((0.0, 1.0),) * count, rows @ rows.T, where, coarse)


def gram(*lines: tuple[float, ...]) -> np.ndarray:
    rows = np.array(lines, dtype=np.float64)
    return rows @ rows.T


def test_without_levels_coarse_resolutions_do_not_count() -> None:
    apart = pushed((3, 0), (0, 2))
    plain = decided(pushed((3, 0), (0, 2), coarse=gram((3, 0), (3, 0))), Settings())
    assert plain == decide(apart, Settings().rule)
    assert [row.coarse for row in plain] == [None, None]
    assert decided(apart, LEVELS) == plain


def test_what_says_the_same_in_coarse_blocks_is_left_out_there_alone() -> None:
    first, second = decided(pushed((3, 0), (0, 2), coarse=gram((4, 0), (2, 0))), LEVELS)
    assert (first.scale, second.scale) == (1, 1)
    assert (first.coarse, second.coarse) == pytest.approx((1.5, 0))
    first, second = decided(pushed((3, 0), (0, 2), coarse=gram((4, 0), (0, 2))), LEVELS)
    assert (first.coarse, second.coarse) == (1, 1)


def test_who_is_lowered_in_fine_blocks_may_be_whole_in_coarse_ones() -> None:
    first, second = decided(pushed((4, 0), (-3, 1), coarse=gram((4, 0), (0, 3))), LEVELS)
    assert (second.scale, second.coarse) == (0.5, 1.0)
    assert (first.scale, first.coarse) == (1.0, 1.0)


def test_what_is_not_called_has_no_coarse_scale_but_is_carried_there() -> None:
    first, copy = decided(pushed((4, 0), (4, 0), coarse=gram((1, 0), (0, 1))), LEVELS)
    assert copy.pruned and copy.coarse is None
    assert (first.scale, first.coarse) == (2.0, 2.0)


def test_what_was_carried_before_is_carried_on() -> None:
    """A third begins later: the second is not called any more, so nothing shows of it."""
    [first, third] = decided(pushed((4, 0), (0, 3)), Settings(), [1.75, 1.0])
    assert (first.strength, first.scale, first.carried) == (1.0, 1.75, 0.75)
    assert (third.scale, third.carried) == (1.0, 0.0)
    [first, third] = decided(pushed((4, 0), (8, 0)), Settings(), [1.75, 1.0])
    assert first.pruned and third.carried == pytest.approx(0.875)
    [first, against] = decided(
        pushed((4, 0), (-5, 1), strengths=(0.5, 1.0)), Settings(), [1.0, 1.0]
    )
    assert against.scale == 0.5  # of equals the weaker push is lowered
    assert first.scale == 1.0 and first.carried == 0.5
