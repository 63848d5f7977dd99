"""ControlNets with one ResNet a level: in core as in diffusers, on every UNet, in every chain."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from .chains import both, chained, net, stock, unrolled
from .narrow import CONTEXT, DOWN, HEAD_WIDTH, WIDTHS, sample
from .narrow_nets import control_net, hint, random_network
from .test_fit import decoder_inputs

pytestmark = pytest.mark.comfy
COMPACT = {"resnets": 1}
SHALLOW = {"resnets": 1, "levels": 3}
BASE = (0, 2, 3, 5, 6, 8, 9, 11)


@cache
def compact() -> Any:
    return control_net(5, COMPACT)


@pytest.fixture(scope="module", autouse=True)
def release_own() -> Iterator[None]:
    yield
    compact.cache_clear()


def pushes(model: Any, *nets: tuple[Any, int]) -> list[Any]:
    """What nets, each with the hint of a seed, together add to every skip, deepest first."""
    positive, _ = chained(both(), *((one, hint(seed), 0.7, 0.0, 1.0) for one, seed in nets))
    plain, steered = (decoder_inputs(model, prompt) for prompt in (both()[0], positive))
    return [after[1] - before[1] for before, after in zip(plain, steered, strict=True)]


def test_the_stock_loader_computes_what_diffusers_does(tmp_path: Path) -> None:
    import comfy.controlnet
    import torch
    from comfyui_tandem.engine.sampling.unet_layout import control_to_ldm
    from diffusers import ControlNetModel
    from safetensors.torch import save_file

    torch.manual_seed(0)
    theirs = ControlNetModel(
        block_out_channels=WIDTHS, down_block_types=DOWN, layers_per_block=1,
        attention_head_dim=[width // HEAD_WIDTH for width in WIDTHS],
        cross_attention_dim=CONTEXT, conditioning_embedding_out_channels=(16, 32, 96, 256),
    ).eval()  # fmt: skip
    zeros = [*theirs.controlnet_down_blocks, theirs.controlnet_mid_block]
    for conv in (*zeros, theirs.controlnet_cond_embedding.conv_out):
        torch.nn.init.normal_(conv.weight, std=0.05)
    save_file(control_to_ldm(theirs.state_dict()), tmp_path / "net.safetensors")
    loaded = comfy.controlnet.load_controlnet(str(tmp_path / "net.safetensors"))
    x, context, shown = (
        torch.randn(2, 4, 8, 8),
        torch.randn(2, 77, CONTEXT),
        torch.rand(2, 3, 64, 64),
    )
    times = torch.tensor([800, 30])
    with torch.no_grad():
        down, middle = theirs(x, times, context, controlnet_cond=shown, return_dict=False)
        found = loaded.control_model(x=x, hint=shown, timesteps=times.float(), context=context)
    assert len(down) == len(found["output"]) == len(BASE)
    for a, b in [*zip(found["output"], down, strict=True), (found["middle"][0], middle)]:
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)
        assert b.abs().max() > 0.01


def test_on_its_own_kind_of_unet_it_acts_as_in_core() -> None:
    import torch

    sides = chained(both(), (compact(), hint(), 0.8, 0.0, 1.0))
    expected = sample(stock("base"), *sides)
    assert (expected - sample(stock("base"), *both())).abs().max() > 1e-3
    assert torch.equal(sample(unrolled("base"), *sides), expected)


@pytest.mark.parametrize("order", [1, -1])
def test_it_chains_with_full_nets(order: int) -> None:
    """Core alone would add its fourth residual to the full net's fourth."""
    import torch

    model, nets = unrolled("base"), [(compact(), 0), (net(1), 1)][::order]
    alone = [pushes(model, one) for one in nets]
    for pushed, *parts in zip(pushes(model, *nets), *alone, strict=True):
        torch.testing.assert_close(pushed, sum(parts), atol=1e-5, rtol=1e-4)
        assert all(part.abs().max() > 1e-3 for part in parts)


def test_on_a_full_unet_it_acts_at_its_own_places() -> None:
    import torch

    found = pushes(unrolled("sd15"), (compact(), 0))[::-1]
    assert [at for at, pushed in enumerate(found) if pushed.abs().max() > 1e-4] == list(BASE)
    on_base = pushes(unrolled("base"), (compact(), 0))[::-1]
    for place, pushed in zip(BASE, on_base, strict=True):
        torch.testing.assert_close(found[place], pushed, atol=1e-5, rtol=1e-4)


def test_a_net_as_shallow_as_its_unet_keeps_its_middle() -> None:
    import torch

    sides = chained(both(), (control_net(6, SHALLOW), hint(), 0.8, 0.0, 1.0))
    assert torch.equal(sample(unrolled("tiny"), *sides), sample(unrolled_without_lean(), *sides))


def unrolled_without_lean() -> Any:
    from comfyui_tandem.engine.control.unroll import UNROLL

    model = unrolled("tiny").clone()
    model.remove_wrappers_with_key("outer_sample", UNROLL)
    return model


def test_what_is_not_of_sd15s_kind_is_listed_as_it_was() -> None:
    from comfyui_tandem.engine.control.lean_net import lean
    from comfyui_tandem.engine.control.positions import fit_of

    network = random_network(0, **SHALLOW)
    assert len(lean(network, None).zero_convs) == 12
    assert len(lean(network, fit_of(stock("tiny").model.diffusion_model)).zero_convs) == 6
    network.num_classes = "sequential"  # as SDXL's
    assert len(lean(network, None).zero_convs) == 6
