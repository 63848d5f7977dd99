"""The nodes around measured scales: before the run, given ones, the report, Fast Sampler."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from .chains import Sides, both, net, stock
from .core_nodes import core_nodes
from .narrow import sample
from .narrow_nets import asked, calls
from .scaled import applied, flat, redundant, reported

pytestmark = pytest.mark.comfy
STEPS = 4


def test_the_report_tells_why_it_knows_nothing_of_a_latent() -> None:
    """It is an output node: an error would fail the prompt, whose picture is there already."""
    import torch

    sides = applied(redundant())
    latent = sample(stock(), *sides, steps=1)
    assert "(1, 4, 8, 8), of none of 1 runs" in note_of(sides[0], torch.zeros_like(latent))
    assert "of none of 0 runs" in note_of(applied(redundant())[0], latent), "made anew"
    assert "1 prompt with nothing to measure" in note_of(both()[0], latent)


def test_the_denoised_latent_of_the_advanced_sampler_is_told_apart() -> None:
    sides = applied(redundant())
    output, denoised = advanced(sides)
    assert len(reported(sides, output["samples"])) == 6
    assert "'output' of SamplerCustomAdvanced" in note_of(sides[0], denoised["samples"])


def note_of(positive: Any, latent: Any) -> str:
    """What the node says in place of rows."""
    from comfyui_tandem.engine.scaling.payload import ScalesForm
    from comfyui_tandem.nodes.scales import Report

    told = Report.execute({"samples": latent}, positive)
    form = ScalesForm.model_validate(told.ui["tandem_scales"][0])
    assert form.rows == [] and form.note == told.result[0]
    return told.result[0]


def advanced(sides: Sides) -> tuple[Any, Any]:
    """Both latents of core's SamplerCustomAdvanced, whose schedule ends before sigma 0."""
    import torch
    from comfy_extras import nodes_custom_sampler as core

    [guider] = core.CFGGuider.execute(stock(), *sides, 4.0).result
    sigmas = core.BasicScheduler.execute(stock(), "normal", STEPS, 1.0).result[0][:-1]
    noise = core.RandomNoise.execute(3).result[0]
    sampler = core.KSamplerSelect.execute("euler").result[0]
    start = {"samples": torch.zeros(1, 4, 8, 8)}
    return core.SamplerCustomAdvanced.execute(noise, guider, sampler, sigmas, start).result


def estimated(hints: Sequence[Any], model: Any = None, sides: Sides | None = None) -> Any:
    import torch
    from comfyui_tandem.nodes.scales import EstimateScales

    latent = {"samples": torch.zeros(1, 4, 8, 8)}
    return EstimateScales.execute(
        model or stock(), *(sides or both()), tuple(hints), latent, 1
    ).result


def test_scales_before_the_run_take_two_steps() -> None:
    nets = [net(seed) for seed in range(4)]
    with calls(*nets) as counts:
        scales, summary, *single = estimated(redundant())
    assert [count["net"] for count in counts] == [4, 2, 0, 0]
    assert single == pytest.approx([1.6, 0.8, 0, 0, 0, 0])
    line = "- 0:canny: scale 1.60, 0.70 of it for what it covers"
    assert summary.splitlines()[:3] == ["Two extra steps were sampled.", "", line]
    sides = applied(redundant(), estimate=False, scales=scales)
    assert sides[0][0][1]["control"].previous_controlnet.strength == pytest.approx(1.6)
    with calls(*nets) as counts:
        sample(stock(), *sides, steps=STEPS)
    assert [count["net"] for count in counts] == [STEPS, STEPS, 0, 0]
    _, summary, *single = estimated([flat(net(0))])
    assert single[0] == 0 and "one flat colour" in summary


def test_a_model_behind_lcm_is_measured_too() -> None:
    from comfyui_tandem.nodes.models import LatentConsistency

    scales, *_ = estimated(redundant(), LatentConsistency.execute(stock("tiny"), 4, 8.0).result[0])
    assert [row.pruned for row in scales.rows][:3] == [False, False, True]


def test_prompts_in_turn_are_measured_before_the_run() -> None:
    node, (positive, negative) = core_nodes().ConditioningSetTimestepRange(), both()
    [first], [second] = node.set_range(positive, 0.0, 0.5), node.set_range(positive, 0.5, 1.0)
    scales, *_ = estimated(redundant(), sides=([*first, *second], negative))
    assert [row.pruned for row in scales.rows][:3] == [False, False, True]
    assert scales.rows[0].push


def test_scales_before_the_run_are_of_its_own_hints() -> None:
    before = applied([asked(net(0), 0), asked(net(1), 1)])
    scales, *_ = estimated([flat(net(2))], sides=before)
    assert [(row.scale, row.reason) for row in scales.rows] == [(0, "its hint is one flat colour")]
    scales, *_ = estimated([asked(net(0), 0, strength=0.7)], sides=before)
    assert [row.pruned for row in scales.rows] == [True]


def test_scales_of_other_conditions_are_refused() -> None:
    from comfyui_tandem.engine.errors import BadInput

    scales, *_ = estimated(redundant())
    with pytest.raises(BadInput, match="estimate again"):
        applied(redundant()[:2], estimate=False, scales=scales)
    with pytest.raises(BadInput, match="disconnect scales"):
        applied(redundant(), scales=scales)


def test_the_strength_bounds_given_scales() -> None:
    from comfyui_tandem.engine.scaling.apply import apply_scaled
    from comfyui_tandem.engine.scaling.scale import Scale, Scales

    given = Scales((Scale("0:canny", 2.0, 1.5, reason="pushes against 1:canny (-0.50)"),))
    (positive, _), used = apply_scaled(both(), [asked(net(0), 0, strength=0.9)], given)
    assert positive[0][1]["control"].strength == 0.9
    assert (used.rows[0].scale, used.rows[0].strength) == (0.9, 0.9)
    carrier = Scale("0:canny", 1.0, 1.5, carried=0.5)
    gone = Scale("1:canny", 1.0, 0.0, reason="covered 1.00 by 0:canny")
    hints = [asked(net(0), 0, strength=0.9), asked(net(0), 0, strength=0.25)]
    _, used = apply_scaled(both(), hints, Scales((carrier, gone)))
    assert [(row.scale, row.carried) for row in used.rows] == [(1.15, 0.25), (0.0, 0.0)]


def test_the_fast_sampler_uses_prompts_that_measure() -> None:
    import torch
    from comfyui_tandem.nodes.fast import FastSampler

    sides, nets = applied(redundant()), [net(0), net(1)]
    with calls(*nets) as counts:
        latent, *_ = FastSampler.execute(
            stock("tiny"), sides[0], {"samples": torch.zeros(1, 4, 8, 8)}, "its own",
            5, STEPS, 1.0, 8.0, 1.0, "full", sides[1],
        ).result  # fmt: skip
    assert [count["net"] for count in counts] == [STEPS + 1, STEPS]
    assert reported(sides, latent["samples"])[2]["calls"] == 1
