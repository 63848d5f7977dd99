"""What is reported where another pack calls the nets: not measured, and as strong as asked for."""

from __future__ import annotations

from typing import Any

import pytest

from .chains import chained, foreign_net, net, stock
from .narrow import sample
from .narrow_nets import asked, hint
from .scaled import applied, redundant, reported

pytestmark = pytest.mark.comfy
STEPS = 2
LEFT_OUT = ["its hint is one flat colour", "strength 0", "no ControlNet is connected"]


def as_asked_for(rows: list[dict[str, Any]]) -> None:
    assert [row["scale"] for row in rows] == pytest.approx([0.9, 0.8, 0.7, 0, 0, 0])
    assert all(row["reason"].startswith("not measured: another pack") for row in rows[:3])
    assert [row["reason"] for row in rows[3:]] == LEFT_OUT
    assert all(row["calls"] is None and row["contribution"] is None for row in rows)


def test_a_net_of_another_pack_behind_ours() -> None:
    sides = chained(applied(redundant()), (foreign_net(1), hint(1), 0.8, 0.0, 1.0))
    as_asked_for(reported(sides, sample(stock(), *sides, steps=STEPS)))


def test_hints_that_are_cut() -> None:
    cut = stock().clone()
    cut.model_options["tiled_diffusion"] = True
    sides = applied(redundant())
    as_asked_for(reported(sides, sample(cut, *sides, steps=STEPS)))


def test_our_own_condition_with_a_net_of_another_pack() -> None:
    sides = applied([asked(foreign_net(1), 1, strength=0.8), asked(net(0), 0)])
    other, own = reported(sides, sample(stock(), *sides, steps=STEPS))
    assert (other["scale"], other["calls"], other["pruned"]) == (0.8, STEPS, False)
    assert other["reason"].startswith("not measured: another pack")
    assert own["contribution"] > 0
    sides = applied([asked(net(0), 0), asked(foreign_net(1), 1)])
    rows = reported(sides, sample(stock(), *sides, steps=STEPS))
    assert [row["calls"] for row in rows] == [None, None]
    assert all(row["reason"].startswith("not measured: another pack") for row in rows)
