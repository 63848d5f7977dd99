"""Residuals of full ControlNets arrive at the blocks of compact UNets that they were made for."""

from __future__ import annotations

from functools import cache
from typing import Any
from unittest import mock

import pytest

from .narrow import HEADS, WIDTHS, conditioning, foreign, model_of, random_unet, sample

pytestmark = pytest.mark.comfy
MIDDLE, SIDE = 99.0, 8
FULL = "full UNet: ControlNets fit as they are"
KEPT = {
    "sd15": (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11),
    "base": (0, 2, 3, 5, 6, 8, 9, 11),
    "small": (0, 2, 3, 5, 6, 8, 9, 11),
    "tiny": (0, 2, 3, 5, 6, 8),
    "uneven": (0, 2, 3, 4, 5, 6, 8, 9, 11),
}
DEPTHS = (0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3)  # how often each output of SD1.5 is halved
LEVELS = (0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3)  # whose width it has


@cache
def loaded(layout: str) -> Any:
    return model_of(random_unet(layout))


def full_residuals(number: bool = True) -> list[Any]:
    """Of SD1.5's shapes: residual i filled with i + 1, or random."""
    import torch

    shapes = [
        (1, WIDTHS[level], SIDE >> depth, SIDE >> depth)
        for level, depth in zip(LEVELS, DEPTHS, strict=True)
    ]
    if number:
        return [torch.full(shape, position + 1.0) for position, shape in enumerate(shapes)]
    return [torch.randn(shape, generator=torch.Generator().manual_seed(7)) for shape in shapes]


def given(control: dict[str, list[Any]]) -> Any:
    """A control object of core's that always answers this."""
    from comfy.controlnet import ControlBase

    class Given(ControlBase):
        def get_control(self, *_: Any) -> Any:
            return {key: list(values) for key, values in control.items()}

    return Given()


def with_control(control: dict[str, list[Any]]) -> Any:
    [[context, options]] = conditioning()
    return [[context, options | {"control": given(control)}]]


def decoder_inputs(model: Any, positive: Any) -> list[tuple[Any, Any]]:
    """(feature, skip) at each decoder block in one call of the UNet."""
    seen: list[tuple[Any, Any]] = []

    def look(h: Any, skip: Any, options: Any) -> tuple[Any, Any]:
        seen.append((h.clone(), skip.clone()))
        return h, skip

    watched = model.clone()
    watched.set_model_output_block_patch(look)
    sample(watched, positive, conditioning(1), steps=1, cfg=1.0)
    return seen


@cache
def fitted_foreign(layout: str) -> Any:
    from comfyui_tandem.engine.control.fit import fit_model

    return fit_model(foreign(random_unet(layout)))


def numbered() -> dict[str, list[Any]]:
    import torch

    residuals = full_residuals()
    return {"output": residuals, "input": [], "middle": [torch.full_like(residuals[-1], MIDDLE)]}


@pytest.mark.parametrize("layout", KEPT)
@pytest.mark.parametrize("load", [loaded, fitted_foreign])
def test_residual_i_arrives_at_position_i(
    layout: str, load: Any, caplog: pytest.LogCaptureFixture
) -> None:
    model = load(layout)
    plain = decoder_inputs(model, conditioning())
    steered = decoder_inputs(model, with_control(numbered()))
    assert "could not be applied" not in caplog.text
    got = [(b[1] - a[1]).mean().item() for a, b in zip(plain, steered, strict=True)]
    assert got == pytest.approx([i + 1.0 for i in reversed(KEPT[layout])], abs=1e-3)
    deepest = (steered[0][0] - plain[0][0]).mean().item()
    assert deepest == pytest.approx(0.0 if layout == "tiny" else MIDDLE, abs=1e-3)


def test_without_the_fit_most_are_lost(caplog: pytest.LogCaptureFixture) -> None:
    """What the tests above would see of core alone."""
    model = foreign(random_unet("base"))
    plain = decoder_inputs(model, conditioning())
    steered = decoder_inputs(model, with_control(numbered()))
    got = [(b[1] - a[1]).mean().item() for a, b in zip(plain, steered, strict=True)]
    assert sum(abs(value) > 0.5 for value in got) <= 3  # of 8; one shape of 1 x 1 fits by chance
    assert "could not be applied" in caplog.text


@pytest.mark.parametrize("layout", KEPT)
@pytest.mark.parametrize("load", [loaded, fitted_foreign])
def test_an_adapters_list_is_read_from_its_deep_end(layout: str, load: Any) -> None:
    """It holds the deepest first, and acts in the encoder."""
    from comfy.ldm.modules.diffusionmodules import openaimodel

    control = {"input": full_residuals()[::-1], "output": [], "middle": []}
    got: list[float] = []
    plain: Any = openaimodel.apply_control

    def watched(h: Any, control: Any, name: str) -> Any:
        before = h.clone()
        after = plain(h, control, name)
        if name == "input":
            got.append((after - before).mean().item())
        return after

    with mock.patch.object(openaimodel, "apply_control", watched):
        sample(load(layout), with_control(control), conditioning(1), steps=1, cfg=1.0)
    assert got == pytest.approx([i + 1.0 for i in KEPT[layout]], abs=1e-2)


def test_a_net_made_for_the_compact_unet_passes() -> None:
    from comfyui_tandem.engine.control.positions import fit_of

    fit = fit_of(loaded("tiny").model.diffusion_model)
    residuals = full_residuals()
    own = {"output": residuals[:6], "input": [], "middle": [residuals[5]]}
    assert fit.fitted(own) == own and fit.fitted(own)["output"] is not own["output"]


@pytest.mark.parametrize("layout", ["base", "tiny"])
def test_random_residuals_give_diffusers_output(layout: str) -> None:
    import torch

    unet = random_unet(layout)
    model, residuals = loaded(layout), full_residuals(number=False)
    fit = model.get_all_wrappers("apply_model")[0]
    x, [[context, _]], times = torch.randn(1, 4, SIDE, SIDE), conditioning(), torch.tensor([300])
    middle = residuals[-1]
    with torch.no_grad():
        expected = unet(
            x,
            times,
            context,
            down_block_additional_residuals=tuple(residuals[i] for i in KEPT[layout]),
            mid_block_additional_residual=torch.zeros(1) if layout == "tiny" else middle,
        ).sample
        control = fit.fitted({"output": residuals, "middle": [middle], "input": []})
        found = model.model.diffusion_model(x, times.float(), context=context, control=control)
    assert (found - expected).abs().max() < 1e-5


def test_fitting_twice_or_a_full_unet_changes_nothing() -> None:
    from comfyui_tandem.engine.control.positions import FIT
    from comfyui_tandem.nodes.models import FitControlNet

    model, summary = FitControlNet.execute(loaded("small")).result
    assert len(model.get_wrappers("apply_model", FIT)) == 1 and model is not loaded("small")
    assert summary == (
        "ControlNet residuals 0, 2, 3, 5, 6, 8, 9, 11 of 0..11, and the middle; "
        "9 of 16 attentions, 160 of 278 modules of a LoRA"
    )
    full, summary = FitControlNet.execute(loaded("sd15")).result
    assert not full.get_wrappers("apply_model", FIT) and summary == FULL


@pytest.mark.parametrize(
    ("layout", "attentions", "modules"),
    [
        ("sd15", 16, 278),
        ("base", 10, 178),
        ("small", 9, 160),
        ("tiny", 9, 147),
        ("uneven", 12, 209),
    ],
)
@pytest.mark.parametrize("load", [loaded, fitted_foreign])
def test_what_is_left_is_counted(layout: str, attentions: int, modules: int, load: Any) -> None:
    from comfyui_tandem.engine.sampling import kept
    from comfyui_tandem.nodes.models import FitControlNet

    model, summary = FitControlNet.execute(load(layout)).result
    assert kept.lora_modules(model) == (modules, 278) and kept.attentions(model) == attentions
    counts = f"{attentions} of 16 attentions, {modules} of 278 modules of a LoRA"
    assert (counts in summary) == (layout != "sd15")


def test_an_assembled_unet_says_what_its_blocks_were() -> None:
    from comfyui_tandem.engine.control.positions import FIT
    from comfyui_tandem.engine.errors import BadInput
    from comfyui_tandem.engine.sampling.compact_unet import build_unet

    weights = random_unet("base").state_dict()
    positions = (0, 1, 3, 4, 6, 7, 9, 10)  # the first of each level kept
    [fit] = build_unet(weights, heads=HEADS, positions=positions).get_wrappers("apply_model", FIT)
    assert fit.positions == positions and fit.middle
    with pytest.raises(BadInput, match="8, one an output"):
        build_unet(weights, heads=HEADS, positions=positions[:-1])
    with pytest.raises(BadInput, match="rising"):
        build_unet(weights, heads=HEADS, positions=positions[::-1])


def test_other_kinds_are_refused() -> None:
    import torch
    from comfyui_tandem.engine.control.positions import fit_of, positions_of
    from comfyui_tandem.engine.errors import BadInput

    with pytest.raises(BadInput, match=r"SD1\.5's kind"):
        fit_of(torch.nn.Identity())
    with pytest.raises(BadInput, match="ResNets"):
        positions_of((2, 3, 2))
