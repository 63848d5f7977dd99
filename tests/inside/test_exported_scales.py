"""Scales behind an exported UNet: none are measured, and conditions act as they were asked for."""

from __future__ import annotations

from typing import Any

import pytest

from .chains import both, chained, net
from .narrow import model_of, random_unet, sample
from .narrow_nets import asked, hint
from .scaled import applied, reported

pytestmark = pytest.mark.comfy
STEPS = 2
REASON = "not measured: the exported UNet shows no features of its own"


@pytest.fixture(scope="module")
def model() -> Any:
    return model_of(random_unet("base"))


@pytest.fixture(scope="module")
def exported(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    from comfyui_tandem.engine.export.model import run_exported
    from comfyui_tandem.engine.export.unet import OnnxUNet, export_unet

    file = tmp_path_factory.mktemp("onnx") / "unet.onnx"
    export_unet(model.model.diffusion_model, file)
    return run_exported(model, OnnxUNet(file))


def hints() -> list[Any]:
    """The second pushes what the first does: measured, it would be left out."""
    return [asked(net(0), 0, strength=0.9), asked(net(0), 0, strength=0.7)]


@pytest.mark.parametrize("options", [{}, {"levels": True, "reuse": True}])
def test_conditions_keep_their_strengths(
    model: Any, exported: Any, options: dict[str, bool]
) -> None:
    import torch

    sides = applied(hints(), **options)
    found = sample(exported, *sides, steps=STEPS)
    rows = reported(sides, found)
    assert [row["scale"] for row in rows] == pytest.approx([0.9, 0.7])
    assert [row["calls"] for row in rows] == [STEPS, STEPS]
    assert all(row["reason"] == REASON and row["contribution"] is None for row in rows)
    stock = applied(hints(), estimate=False)
    torch.testing.assert_close(found, sample(exported, *stock, steps=STEPS))
    rows = reported(sides, sample(model, *sides, steps=STEPS))
    assert [row["pruned"] for row in rows] == [False, True], "the model itself is measured"


def test_one_that_did_not_act_says_so(exported: Any) -> None:
    sides = applied([asked(net(0), 0), asked(net(1), 1, start=0.9)])
    rows = reported(sides, sample(exported, *sides, steps=1))
    assert [row["reason"] for row in rows] == [REASON, "did not act"]


def test_stock_nets_before_ours_stay(exported: Any) -> None:
    before = chained(both(), (net(1), hint(1), 0.5, 0.0, 1.0))
    sides = applied(hints(), before)
    rows = reported(sides, sample(exported, *sides, steps=STEPS))
    assert [row["reason"] for row in rows] == [REASON, REASON]


def test_estimate_scales_gives_the_strengths(exported: Any) -> None:
    import torch
    from comfyui_tandem.nodes.scales import EstimateScales

    latent = {"samples": torch.zeros(1, 4, 8, 8)}
    scales, summary, *single = EstimateScales.execute(
        exported, *both(), tuple(hints()), latent, 1
    ).result
    assert single == pytest.approx([0.9, 0.7, 0, 0, 0, 0])
    assert [row.reason for row in scales.rows] == [REASON, REASON]
    assert REASON in summary
