"""Chains of the demo family's ControlNets in core's sampler."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any
from unittest import mock

import numpy as np
import pytest
from comfyui_tandem.engine.conditions import Condition, ConditionRequest, Hint, Photo

from .core_nodes import core_nodes

pytestmark = pytest.mark.comfy


@cache
def parts() -> tuple[Any, Any, Any]:
    from comfyui_tandem.engine.sampling.family import load_family
    from comfyui_tandem.nodes.model_folders import FAMILY

    return load_family(FAMILY)


@pytest.fixture(scope="session")
def nets() -> list[Any]:
    import comfy.controlnet
    from comfyui_tandem.engine.sampling.family_files import CONTROL_NETS, control_file
    from comfyui_tandem.nodes.model_folders import FAMILY

    paths = [FAMILY / CONTROL_NETS / control_file(kind) for kind in ("depth", "edge")]
    return [comfy.controlnet.load_controlnet(str(path)) for path in paths]


@cache
def prompts() -> tuple[Any, Any]:
    _, clip, _ = parts()
    positive, negative = (
        clip.encode_from_tokens_scheduled(clip.tokenize(text)) for text in ("a red cube", "")
    )
    return positive, negative


@pytest.fixture(scope="module", autouse=True)
def release_own() -> Iterator[None]:
    yield
    prompts.cache_clear()
    parts.cache_clear()


def hint_of(net: Any, strength: float = 1.0, batch: int = 1, **times: float) -> Hint:
    request = ConditionRequest("canny", resolution=64, strength=strength, **times)
    photo = Photo(np.zeros((64, 64, 3), np.uint8))
    picture = np.tile(np.arange(64, dtype=np.uint8) * 4, (64, 1))
    return Hint(Condition(request, (photo,) * batch, net), (picture,) * batch, "local", 0.0)


def sample(positive: Any, negative: Any, steps: int = 3, batch: int = 1, model: Any = None) -> Any:
    import comfy.sample
    import torch

    model = model or parts()[0]
    latent = torch.zeros(batch, 4, 8, 8)
    noise = comfy.sample.prepare_noise(latent, 1)
    return comfy.sample.sample(
        model, noise, steps, 4.0, "euler", "normal", positive, negative, latent,
        disable_pbar=True, seed=1,
    )  # fmt: skip


def applied(hints: list[Hint]) -> tuple[Any, Any]:
    from comfyui_tandem.engine.control import apply_hints

    (positive, negative), _ = apply_hints(prompts(), hints)
    return positive, negative


def calls(net: Any) -> Any:
    forward: Callable[..., Any] = net.control_model.forward
    return mock.patch.object(net.control_model, "forward", side_effect=forward)


def test_a_picture_comes_out_of_core_nodes() -> None:
    import torch

    _, _, vae = parts()
    picture = vae.decode(sample(*prompts()))
    assert picture.shape == (1, 64, 64, 3)
    assert torch.isfinite(picture).all() and picture.std() > 0.01


def test_the_prompt_and_every_net_act(nets: list[Any]) -> None:
    positive, negative = prompts()
    plain = sample(positive, negative)
    others = [sample(negative, negative), *(sample(*applied([hint_of(net)])) for net in nets)]
    for other in others:
        assert (other - plain).abs().mean() > 0.01 * plain.abs().mean()


def test_a_hint_of_16_bits_is_the_same_image() -> None:
    import torch
    from comfyui_tandem.engine.control import hint_image

    coarse = np.arange(256, dtype=np.uint8).reshape(16, 16)
    fine = coarse.astype(np.uint16) * 257
    image = hint_image([fine])
    assert torch.equal(image, hint_image([coarse])) and image.dtype == torch.float32
    assert hint_image([fine + 1])[0, 0, 0, 0] == pytest.approx(1 / 65535)


def test_the_chain_equals_the_stock_apply_node(nets: list[Any]) -> None:
    import torch
    from comfyui_tandem.engine.control import hint_image
    from comfyui_tandem.engine.control.unroll import UNROLL

    model = parts()[0].clone()
    model.remove_wrappers_with_key("outer_sample", UNROLL)
    ours = applied([hint_of(nets[0], 0.7), hint_of(nets[1], 0.4, start=0.2, end=0.8)])
    stock = prompts()
    node = core_nodes().ControlNetApplyAdvanced()
    image = hint_image(hint_of(None).pictures)
    stock = node.apply_controlnet(*stock, nets[0], image, 0.7, 0.0, 1.0)
    stock = node.apply_controlnet(*stock, nets[1], image, 0.4, 0.2, 0.8)
    assert torch.equal(sample(*ours), sample(*stock, model=model))


def test_strength_zero_and_no_net_are_left_out_and_not_called(nets: list[Any]) -> None:
    from comfyui_tandem.engine.control import apply_hints

    hints = [hint_of(nets[0]), hint_of(nets[1], strength=0.0), hint_of(None)]
    (positive, negative), told = apply_hints(prompts(), hints)
    with calls(nets[0]) as used, calls(nets[1]) as unused:
        sample(positive, negative, steps=3)
    assert (used.call_count, unused.call_count) == (3, 0)
    assert [one.reason for one in told] == [None, "strength 0", "no ControlNet is connected"]


def test_nothing_given_is_changed(nets: list[Any]) -> None:
    positive, negative = prompts()
    before = [dict(entry[1]) for side in (positive, negative) for entry in side]
    state = dict(vars(nets[0]))
    applied([hint_of(nets[0], 0.3), hint_of(nets[0], 0.6)])
    assert [entry[1] for side in (positive, negative) for entry in side] == before
    assert vars(nets[0]) == state


def test_a_batch_of_hints_steers_a_batch_of_pictures(nets: list[Any]) -> None:
    assert sample(*applied([hint_of(nets[0], batch=2)]), batch=2).shape[0] == 2
