"""Scales of their own at the UNet's coarse resolutions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from .chains import net, stock
from .narrow import sample
from .narrow_nets import asked
from .scaled import applied, redundant, reported

pytestmark = pytest.mark.comfy
FINE_ROWS = 4  # of the second of four resolutions on a latent of 8


def test_sums_take_each_resolution_by_its_own_factor() -> None:
    import torch
    from comfyui_tandem.engine.control.summing import Factor, fine_height, summed

    one = {"output": [torch.ones(1, 2, 5, 3), torch.ones(1, 2, 3, 2), torch.ones(1, 2, 2, 1), None]}
    two: dict[str, Any] = {"output": [None, torch.ones(1, 2, 3, 2)], "middle": one["output"][2:3]}
    fine = fine_height(torch.zeros(1, 4, 5, 3))
    assert fine == 3
    total = summed([(one, Factor(2.0, 0.5)), (two, Factor(1.0, 0.0))], fine)
    sums = [None if value is None else float(value.mean()) for value in total["output"]]
    assert sums == [2.0, 3.0, 0.5, None] and total["middle"] == [None]
    assert summed([(one, Factor())], fine)["output"][0] is one["output"][0]


def test_coarse_scales_are_reported_and_used(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from comfyui_tandem.engine.control.unroll import ControlChain
    from comfyui_tandem.engine.scaling import estimator
    from comfyui_tandem.engine.scaling.decided import decided

    hints = [asked(net(0), 0, strength=0.9), asked(net(1), 1, strength=0.8)]
    whole = sample(stock(), *applied(hints, estimate=False))
    with monkeypatch.context() as patch:
        patch.setattr(
            estimator, "decided", lambda *a: tuple(replace(s, coarse=0.0) for s in decided(*a))
        )
        sides = applied(hints, levels=True)
        found = sample(stock(), *sides)
        assert [row["coarse"] for row in reported(sides, found)] == [0.0, 0.0]
    said = ControlChain.own_residuals

    def fine_alone(self: Any, *given: Any) -> Any:
        found = said(self, *given)
        for _, control in found:
            for values in control.values():
                values[:] = [v if v is None or len(v[0, 0]) >= FINE_ROWS else 0 * v for v in values]
        return found

    monkeypatch.setattr(ControlChain, "own_residuals", fine_alone)
    expected = sample(stock(), *applied(hints, estimate=False))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert (found - whole).abs().max() > 1e-3


def test_every_condition_that_stays_has_one() -> None:
    sides = applied(redundant(), levels=True)
    rows = reported(sides, sample(stock(), *sides))
    assert [row["coarse"] is None for row in rows] == [False, False, True, True, True, True]
    assert rows[0]["coarse"] <= 1.6 + 1e-6 and rows[1]["coarse"] <= 0.8 + 1e-6


def test_it_needs_the_measurement() -> None:
    from comfyui_tandem.engine.errors import BadInput

    with pytest.raises(BadInput, match="turn on estimate"):
        applied(redundant(), estimate=False, levels=True)
