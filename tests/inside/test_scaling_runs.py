"""Runs as people start and stop them: over a picture, within a mask, many in a row, cancelled."""

from __future__ import annotations

from typing import Any

import pytest

from .chains import Sides, net, stock
from .core_nodes import core_nodes
from .narrow import sample
from .narrow_nets import asked, calls
from .scaled import applied, applied_by, redundant, reported

pytestmark = pytest.mark.comfy
STEPS = 4


def sampled(sides: Sides, latent: dict[str, Any], seed: int = 1, **more: Any) -> Any:
    """By core's own node, from this latent."""
    given = {"steps": STEPS, "denoise": 1.0} | more
    [out] = core_nodes().KSampler().sample(
        stock(), seed, given["steps"], 4.0, "euler", "normal", *sides, latent, given["denoise"]
    )  # fmt: skip
    return out["samples"]


def picture() -> Any:
    import torch

    return torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3))


def test_over_a_picture_the_first_steps_that_are_sampled_are_measured() -> None:
    """Half of a run has short steps: the second decides."""
    hints = [*redundant()[:3], asked(net(2), 2, end=0.3)]
    sides = applied(hints)
    with calls(net(0), net(2)) as counts:
        rows = reported(sides, sampled(sides, {"samples": picture()}, denoise=0.5))
    assert [count["net"] for count in counts] == [STEPS + 2, 0]
    assert [row["scale"] for row in rows] == pytest.approx([1.6, 0.8, 0.0, 1.0])
    assert [row["calls"] for row in rows] == [STEPS, STEPS, 2, 0]
    assert rows[3]["reason"] == "did not act", "it ends before the sampler begins"


def test_within_a_mask_it_is_measured_too() -> None:
    import torch

    left = torch.zeros(1, 1, 8, 8)
    left[..., :4] = 1.0
    sides = applied(redundant()[:3])
    with calls(net(0)) as [count]:
        found = sampled(sides, {"samples": picture(), "noise_mask": left})
    rows = reported(sides, found)
    assert count["net"] == STEPS + 1
    assert [row["pruned"] for row in rows] == [False, False, True]
    assert [row["calls"] for row in rows] == [STEPS, STEPS, 1]
    torch.testing.assert_close(found[..., 4:], picture()[..., 4:])
    assert not torch.allclose(found[..., :4], picture()[..., :4])


def test_the_first_of_many_runs_is_still_known() -> None:
    sides = applied(redundant()[:3])
    latents = [sampled(sides, {"samples": picture() * 0}, seed, steps=1) for seed in range(40)]
    other = sampled(sides, {"samples": picture() * 0}, 99, steps=2)
    assert [row["calls"] for row in reported(sides, latents[0])] == [1, 1, 1]
    assert [row["calls"] for row in reported(sides, other)] == [2, 2, 1]


def test_a_run_that_is_stopped_leaves_nothing_behind() -> None:
    """With reuse: what a net had said is of no use to the next run."""
    import torch
    from comfyui_tandem.engine.scaling.apply import ledgers_of
    from comfyui_tandem.engine.scaling.settings import Pace, Settings

    class Stopped(Exception):
        pass

    seen: list[int] = []

    def stop(feature: Any, skip: Any, _: Any) -> Any:
        seen.append(1)
        if len(seen) > 3 * 12:  # output blocks of three steps
            raise Stopped
        return feature, skip

    hints = [asked(net(0), 0, strength=0.9), asked(net(1), 1, strength=0.8)]
    settings = Settings(pace=Pace(1.0, 0.0))
    expected = sample(stock(), *applied_by(settings, hints), steps=8)
    sides = applied_by(settings, hints)
    last = sides[0][0][1]["control"]
    before = [dict(vars(one)) for one in (last, last.previous_controlnet)]
    watched = stock().clone()
    watched.set_model_output_block_patch(stop)
    with pytest.raises(Stopped):
        sample(watched, *sides, steps=8)
    assert len(seen) > 3 * 12, "in the middle"
    assert [dict(vars(one)) for one in (last, last.previous_controlnet)] == before
    [ledger] = ledgers_of(sides[0])
    assert not ledger._runs
    found = sample(stock(), *sides, steps=8)
    assert torch.equal(found, expected)
    assert [(row["calls"], row["reused"]) for row in reported(sides, found)] == [(5, 3)] * 2
