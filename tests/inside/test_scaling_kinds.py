"""Scales of other kinds of nets, and of prompts, pictures and batches as people send them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from .chains import adapter, control_lora, foreign_net, net, stock
from .narrow import conditioning as prompt
from .narrow import sample
from .narrow_nets import asked, calls
from .narrow_xl import xl_model, xl_net, xl_sides
from .scaled import applied, redundant, reported

pytestmark = pytest.mark.comfy
STEPS = 3


@pytest.fixture(scope="module", autouse=True)
def release_own() -> Iterator[None]:
    yield
    xl_model.cache_clear()
    xl_net.cache_clear()


@pytest.mark.parametrize("cfg", [4.0, 1.0])
def test_nets_of_sdxls_shape(cfg: float) -> None:
    import torch

    nets = [xl_net(0), xl_net(1)]
    hints = [asked(nets[0], 0, strength=0.9), asked(nets[1], 1, strength=0.8)]
    hints.append(asked(nets[0], 0, strength=0.7))
    sides = applied(hints, xl_sides())
    with calls(*nets) as counts:
        latent = sample(xl_model(), *sides, steps=STEPS, cfg=cfg)
    assert [count["net"] for count in counts] == [STEPS + 1, STEPS]
    rows = reported(sides, latent)
    assert [row["scale"] for row in rows] == pytest.approx([1.6, 0.8, 0])
    whole = sample(xl_model(), *applied(hints, xl_sides(), estimate=False), steps=STEPS, cfg=cfg)
    torch.testing.assert_close(latent, whole, rtol=1e-3, atol=1e-3)


def test_an_adapter_from_a_file_by_cores_own_loader(tmp_path: Path) -> None:
    """Its copy is pruned; it acts with its strength on the first step, and for both then."""
    import comfy.controlnet
    from safetensors.torch import save_file

    weights = adapter().t2i_model.state_dict()
    path = tmp_path / "t2iadapter.safetensors"
    save_file({key: value.contiguous() for key, value in weights.items()}, path)
    loaded = comfy.controlnet.load_controlnet(str(path))
    assert type(loaded) is comfy.controlnet.T2IAdapter
    hints = [asked(loaded, 0, strength=10.0), asked(net(0), 0, strength=0.2)]
    hints.append(asked(loaded, 0, strength=9.0))
    sides = applied(hints)
    rows = reported(sides, sample(stock(), *sides, steps=STEPS))
    assert [row["pruned"] for row in rows] == [False, False, True]
    assert rows[0]["scale"] == pytest.approx(19.0) and rows[0]["contribution"] > 0
    assert [row["calls"] for row in rows] == [STEPS, STEPS, 1]


def test_prompts_that_do_not_fit_into_one_batch() -> None:
    """Core asks the negative in a call of its own, before the positive or after."""
    import torch

    apart = prompt(0), prompt(1, 10)  # lengths with no common multiple that core would repeat to
    sides = applied(redundant()[:3], apart)
    with calls(net(0), net(1)) as counts:
        latent = sample(stock(), *sides, steps=STEPS)
    rows = reported(sides, latent)
    assert [row["pruned"] for row in rows] == [False, False, True]
    assert counts[1]["net"] == rows[1]["calls"] == 2 * STEPS
    assert counts[0]["net"] == rows[0]["calls"] + rows[2]["calls"]
    assert rows[2]["calls"] <= 2
    whole = sample(stock(), *applied(redundant()[:3], apart, estimate=False), steps=STEPS)
    torch.testing.assert_close(latent, whole, rtol=1e-3, atol=1e-3)


def test_hints_with_a_mask_are_no_copies_of_those_without() -> None:
    import numpy as np

    def masked(one: Any) -> Any:
        whole = np.ones((64, 64), np.float32)
        return replace(one, condition=replace(one.condition, masks=(whole,)))

    plain, other = asked(net(0), 0, strength=0.9), asked(net(0), 0, strength=0.7)
    sides = applied([plain, other])
    same = reported(sides, sample(stock(), *sides, steps=STEPS))
    sides = applied([plain, masked(other)])
    rows = reported(sides, sample(stock(), *sides, steps=STEPS))
    assert same[1]["cover"] == pytest.approx(1.0)
    assert rows[1]["cover"] < 1 - 1e-5  # the mask got to the net
    sides = applied([masked(plain), masked(other)])
    rows = reported(sides, sample(stock(), *sides, steps=STEPS))
    assert rows[1]["cover"] == pytest.approx(1.0) and rows[1]["pruned"]


def test_adapters_and_nets_of_other_packs_take_part_as_they_can() -> None:
    hints = [
        asked(adapter(), 0, strength=10.0),
        asked(net(0), 0, strength=0.2),
        asked(adapter(), 0, strength=9.0),
    ]
    sides = applied(hints)
    rows = reported(sides, sample(stock(), *sides, steps=STEPS))
    assert [row["pruned"] for row in rows] == [False, False, True]
    assert [row["calls"] for row in rows] == [STEPS, STEPS, 1]
    lora = [asked(net(0), 0), asked(control_lora(), 1), asked(control_lora(), 1, strength=0.9)]
    rows = reported(sides := applied(lora), sample(stock(), *sides, steps=STEPS))
    assert [row["pruned"] for row in rows] == [False, False, True]
    sides = applied([asked(net(0), 0), asked(foreign_net(1), 1), asked(net(2), 2)])
    rows = reported(sides, sample(stock(), *sides, steps=STEPS))
    assert [row["scale"] for row in rows] == [1, 1, 1]
    assert rows[2]["contribution"] > 0 and rows[1]["contribution"] is None
