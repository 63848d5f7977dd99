"""Scales measured inside core's sampler: no call more, pruned nets not called, nothing changed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from .chains import Sides, both, net, stock, unrolled
from .core_nodes import core_nodes
from .narrow import conditioning as prompt
from .narrow import sample
from .narrow_nets import asked, calls, hint
from .scaled import applied, applied_by, redundant, reported

pytestmark = pytest.mark.comfy
STEPS, LONG = 4, 10  # of long steps, of short ones


CASES: dict[str, dict[str, Any]] = {
    "cfg": {},
    "cfg 1": {"cfg": 1.0},
    "batch": {"batch": 2},
    "two calls a step": {"sampler": "heun"},
}


@pytest.mark.parametrize("case", CASES)
def test_pruned_nets_are_not_called_again(case: str) -> None:
    options = {"steps": STEPS, **CASES[case]}
    sides, nets = applied(redundant()), [net(seed) for seed in range(4)]
    with calls(*nets) as counts:
        latent = sample(stock(), *sides, **options)
    evaluations = 2 * STEPS - 1 if options.get("sampler") == "heun" else STEPS
    assert [count["net"] for count in counts] == [evaluations + 1, evaluations, 0, 0]
    rows = reported(sides, latent)
    assert [row["scale"] for row in rows] == pytest.approx([1.6, 0.8, 0, 0, 0, 0])
    assert [row["carried"] for row in rows] == pytest.approx([0.7, 0, 0, 0, 0, 0], abs=1e-6)
    assert [row["pruned"] for row in rows] == [False, False, True, True, True, True]
    assert [row["calls"] for row in rows] == [evaluations, evaluations, 1, None, None, None]
    assert [row["reason"] for row in rows[2:]] == [
        "covered 1.00 by 0:canny",
        "its hint is one flat colour",
        "strength 0",
        "no ControlNet is connected",
    ]
    assert all(row["contribution"] > 0 for row in rows[:2])


@pytest.mark.parametrize("layout", ["sd15", "base", "small", "tiny"])
@pytest.mark.parametrize("cfg", [4.0, 1.0])
def test_the_first_step_has_the_scales_already(layout: str, cfg: float) -> None:
    """The latent is that of a chain without the pruned one: to rounding, as sums are anew."""
    import torch
    from comfyui_tandem.engine.scaling.rule import Rule
    from comfyui_tandem.engine.scaling.settings import Settings

    alone = Settings(Rule(carried=0.0))
    for model in (stock(layout), unrolled(layout)):
        found = sample(model, *applied_by(alone, redundant()), steps=2, cfg=cfg)
        expected = sample(model, *applied(redundant()[:2], estimate=False), steps=2, cfg=cfg)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
        whole = sample(model, *applied(redundant()[:3], estimate=False), steps=2, cfg=cfg)
        assert (found - whole).abs().max() > 1e-3
        carried = sample(model, *applied(redundant()), steps=2, cfg=cfg)
        torch.testing.assert_close(carried, whole, rtol=1e-4, atol=1e-4)  # a copy is no loss


def test_where_nothing_is_to_be_lowered_the_bits_are_those_of_the_strengths() -> None:
    import torch

    hints = [asked(net(0), 0, strength=0.9), asked(net(1), 1, strength=0.8)]
    found = sample(stock(), *applied(hints), steps=STEPS)
    assert torch.equal(found, sample(stock(), *applied(hints, estimate=False), steps=STEPS))


def test_order_does_not_matter() -> None:
    import torch

    first = applied(redundant())
    second = applied([*redundant()[::-1]])
    one, other = (sample(stock(), *sides, steps=2) for sides in (first, second))
    scales = {(row["strength"], row["scale"]) for row in reported(first, one)}
    assert scales == {(row["strength"], row["scale"]) for row in reported(second, other)}
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_a_lowered_condition_acts_with_its_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from comfyui_tandem.engine.scaling import estimator
    from comfyui_tandem.engine.scaling.decided import decided

    def halved(*given: Any) -> Any:
        return tuple(replace(one, scale=one.strength / 2) for one in decided(*given))

    monkeypatch.setattr(estimator, "decided", halved)
    hints = [asked(net(0), 0, strength=0.8), asked(net(1), 1, strength=0.4)]
    found = sample(stock(), *applied(hints), steps=STEPS)
    lower = [asked(net(0), 0, strength=0.4), asked(net(1), 1, strength=0.2)]
    expected = sample(stock(), *applied(lower, estimate=False), steps=STEPS)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_regions_are_measured_together() -> None:
    import torch

    left = torch.zeros(1, 8, 8)
    left[..., :4] = 1.0
    positive, negative = both()
    other, _ = both()
    regions = [[positive[0][0], {"mask": left}], [other[0][0] * 0.5, {"mask": 1 - left}]]
    sides = applied(redundant(), ([*regions], negative))
    assert sides[0][0][1]["control"] is sides[0][1][1]["control"]
    latent = sample(stock(), *sides, steps=STEPS)
    assert [row["pruned"] for row in reported(sides, latent)][:3] == [False, False, True]
    areas = [
        [positive[0][0], {"area": (8, 4, 0, 0), "strength": 1.0}],
        [other[0][0], {"area": (8, 8, 0, 0), "strength": 1.0}],
    ]
    sides = applied(redundant(), (areas, negative))
    latent = sample(stock(), *sides, steps=STEPS)
    rows = reported(sides, latent)
    assert [row["pruned"] for row in rows][:3] == [False, False, True]
    assert rows[2]["calls"] < rows[0]["calls"]


def test_one_that_begins_later_is_measured_when_it_acts() -> None:
    hints = [asked(net(0), 0), asked(net(1), 1), asked(net(0), 0, start=0.5, strength=0.7)]
    sides = applied(hints)
    latent = sample(stock(), *sides, steps=STEPS)
    *_, later = reported(sides, latent)
    assert later["pruned"] and later["calls"] == 1
    assert reported(sides, latent)[0]["carried"] == pytest.approx(0.7)
    never = [asked(net(0), 0), asked(net(1), 1, start=0.5, end=0.51)]
    sides = applied(never)
    row = reported(sides, sample(stock(), *sides, steps=STEPS))[1]
    assert (row["scale"], row["reason"], row["calls"]) == (1.0, "did not act", 0)


def test_what_is_carried_is_carried_on_when_another_begins() -> None:
    import torch

    hints = [asked(net(0), 0, strength=0.9), asked(net(0), 0, strength=0.7)]
    hints.append(asked(net(1), 1, start=0.5))
    sides = applied(hints)
    latent = sample(stock(), *sides, steps=STEPS)
    first, copy, later = reported(sides, latent)
    assert (first["scale"], first["carried"]) == pytest.approx((1.6, 0.7))
    assert copy["pruned"] and later["scale"] == 1.0
    whole = sample(stock(), *applied(hints, estimate=False), steps=STEPS)
    torch.testing.assert_close(latent, whole, rtol=1e-4, atol=1e-4)


def test_where_steps_are_short_the_second_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first step prunes the one that the second keeps, and the other way round."""
    from comfyui_tandem.engine.scaling import estimator
    from comfyui_tandem.engine.scaling.decided import decided

    looks: list[tuple[str, ...]] = []

    def one_after_the_other(pushed: Any, *given: Any) -> Any:
        looks.append(pushed.conds)
        scales = decided(pushed, *given)
        gone = scales[len(looks) % 2]
        return tuple(replace(one, scale=0.0) if one is gone else one for one in scales)

    monkeypatch.setattr(estimator, "decided", one_after_the_other)
    hints = [asked(net(0), 0), asked(net(1), 1)]
    sides = applied(hints)
    with calls(net(0), net(1)) as counts:
        latent = sample(stock(), *sides, steps=LONG)
    assert looks == [("0:canny", "1:canny")] * 2
    assert [count["net"] for count in counts] == [2, LONG]
    assert [(row["pruned"], row["calls"]) for row in reported(sides, latent)] == [
        (True, 2),
        (False, LONG),
    ]


def test_what_the_first_short_step_shows_holds_on_it() -> None:
    import torch

    first = sample(stock(), *applied(redundant()), steps=LONG)
    expected = sample(stock(), *applied(redundant()[:3], estimate=False), steps=LONG)
    torch.testing.assert_close(first, expected, rtol=1e-3, atol=1e-3)  # a copy is no loss
    sides = applied(redundant())
    rows = reported(sides, sample(stock(), *sides, steps=LONG))
    assert [row["calls"] for row in rows] == [LONG, LONG, 2, None, None, None]
    assert rows[0]["carried"] == pytest.approx(0.7, abs=1e-6)


def test_who_is_left_when_one_ends_is_judged_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    from comfyui_tandem.engine.scaling import estimator
    from comfyui_tandem.engine.scaling.decided import decided

    def halved_beside_others(pushed: Any, *given: Any) -> Any:
        share = 0.5 if len(pushed.conds) > 1 else 1.0
        return tuple(replace(one, scale=share * one.strength) for one in decided(pushed, *given))

    monkeypatch.setattr(estimator, "decided", halved_beside_others)
    sides = applied([asked(net(0), 0, end=0.5), asked(net(1), 1)])
    rows = reported(sides, sample(stock(), *sides, steps=STEPS))
    assert [row["scale"] for row in rows] == pytest.approx([0.5, 1.0])
    assert rows[0]["calls"] < rows[1]["calls"] == STEPS


def test_nets_before_ours_stay_as_they_are() -> None:
    node = core_nodes().ControlNetApplyAdvanced()
    before = node.apply_controlnet(*both(), net(3), hint(3), 0.6, 0.0, 1.0)
    sides = applied(redundant(), before)
    with calls(net(3)) as [count]:
        latent = sample(stock(), *sides, steps=STEPS)
    assert count["net"] == STEPS
    assert [row["pruned"] for row in reported(sides, latent)][:3] == [False, False, True]


def test_two_of_our_nodes_in_a_row_are_measured_together() -> None:
    sides = applied(redundant()[:2], applied([asked(net(0), 0)]))
    rows = reported(sides, sample(stock(), *sides, steps=STEPS))
    assert [row["pruned"] for row in rows] == [False, True, False]
    assert rows[1]["reason"] == "covered 1.00 by 0:canny"


def test_three_of_our_nodes_in_a_row_are_measured_together() -> None:
    first = applied([asked(net(0), 0)])
    sides = applied([asked(net(0), 0, strength=0.7)], applied(redundant()[:2], first))
    rows = reported(sides, sample(stock(), *sides, steps=STEPS))
    assert [row["pruned"] for row in rows] == [False, True, False, True]
    assert rows[1]["reason"] == rows[3]["reason"] == "covered 1.00 by 0:canny"
    sides = applied([asked(net(1), 1, strength=0.7)], applied([asked(net(1), 1)], first))
    rows = reported(sides, sample(stock(), *sides, steps=STEPS))
    assert rows[2]["reason"] == "covered 1.00 by 0:canny of Apply 2"


def with_stock_net_on_the_positive() -> Sides:
    [positive] = core_nodes().ControlNetApply().apply_controlnet(prompt(), net(3), hint(3), 0.6)
    return positive, prompt(1)


def test_a_negative_with_other_nets_before_ours_has_the_same_scales() -> None:
    import torch

    sides = applied(redundant(), with_stock_net_on_the_positive())
    assert sides[0][0][1]["control"] is not sides[1][0][1]["control"]
    with calls(net(0), net(1)) as counts:
        latent = sample(stock(), *sides, steps=STEPS)
    assert [count["net"] for count in counts] == [2 * STEPS + 1, 2 * STEPS]
    rows = reported(sides, latent)
    assert [row["pruned"] for row in rows][:3] == [False, False, True]
    assert rows[2]["reason"] == "covered 1.00 by 0:canny"
    assert [row["calls"] for row in rows][:3] == [2 * STEPS, 2 * STEPS, 1]
    assert rows[0]["scale"] == pytest.approx(1.6)
    carrier = asked(net(0), 0, strength=1.6)
    kept = applied([carrier, redundant()[1]], with_stock_net_on_the_positive(), estimate=False)
    expected = sample(stock(), *kept, steps=STEPS)
    torch.testing.assert_close(latent, expected, rtol=1e-4, atol=1e-4)


def test_regions_with_other_nets_before_ours_are_one_row() -> None:
    import torch

    left = torch.zeros(1, 8, 8)
    left[..., :4] = 1.0
    [positive], negative = with_stock_net_on_the_positive()
    regions = [[positive[0], positive[1] | {"mask": left}], [prompt()[0][0], {"mask": 1 - left}]]
    sides = applied(redundant(), (regions, negative))
    with calls(net(1)) as [count]:
        rows = reported(sides, sample(stock(), *sides, steps=STEPS))
    assert [row["calls"] for row in rows][:3] == [2 * STEPS, 2 * STEPS, 2]
    assert count["net"] == 2 * STEPS
    assert [row["pruned"] for row in rows][:3] == [False, False, True]


def test_what_was_measured_last_is_told() -> None:
    """A prompt that is only for what the others leave free has no turn where they leave none."""
    positive, negative = both()
    filler = [prompt(3)[0][0], {"default": True}]
    sides = applied(redundant(), ([*positive, filler], negative))
    rows = reported(sides, sample(stock(), *sides, steps=1))
    assert [row["pruned"] for row in rows][:3] == [False, False, True]


def test_residuals_that_are_not_finite_end_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from comfyui_tandem.engine.scaling import estimator

    real = estimator.joined
    monkeypatch.setattr(
        estimator, "joined", lambda steps: replace(real(steps), gram=real(steps).gram * torch.nan)
    )
    sides = applied(redundant()[:2])
    rows = reported(sides, sample(stock(), *sides, steps=2))
    assert [row["scale"] for row in rows] == pytest.approx([0.9, 0.8])
    assert all("not finite" in row["reason"] for row in rows)


def test_nothing_given_is_changed_and_every_run_measures_anew() -> None:
    import torch

    sides = applied(redundant())
    last = sides[0][0][1]["control"]
    before = [dict(vars(one)) for one in (last, last.previous_controlnet)]
    first = sample(stock(), *sides, steps=2)

    class Stopped(Exception):
        pass

    def stop(*_: Any) -> None:
        raise Stopped

    watched = stock().clone()
    watched.set_model_output_block_patch(stop)
    with pytest.raises(Stopped):
        sample(watched, *sides)
    assert [dict(vars(one)) for one in (last, last.previous_controlnet)] == before
    other = sample(stock(), *sides, steps=3)
    assert torch.equal(sample(stock(), *sides, steps=2), first)
    rows = [reported(sides, latent) for latent in (first, other)]
    assert [row[0]["calls"] for row in rows] == [2, 3]  # each latent has its own figures
    assert not stock().model_options["transformer_options"].get("patches")
