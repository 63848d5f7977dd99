"""The unrolled chain gives the latents of core's, bit for bit, with fewer calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from .chains import (
    CASES,
    Sides,
    areas,
    both,
    chained,
    net,
    parted,
    positive_only,
    ranged,
    stock,
    three,
    unrolled,
    with_foreign,
    with_lora,
)
from .narrow import sample
from .narrow_nets import asked, calls, hint

pytestmark = pytest.mark.comfy
STEPS = 4


@pytest.mark.parametrize("case", CASES)
def test_latents_are_those_of_cores_chain(case: str) -> None:
    import torch

    make, options = CASES[case]
    sides = make()
    expected = sample(stock(), *sides, steps=STEPS, **options)
    plain = sample(stock(), *both(), steps=STEPS, **options)
    assert "0" in case or (expected - plain).abs().max() > 1e-3  # the nets act at all
    for _ in range(2 if case == "adapter" else 1):  # a second run finds nothing of the first
        assert torch.equal(sample(unrolled(), *sides, steps=STEPS, **options), expected)


def counted(model: Any, sides: Sides, *nets: Any, **options: Any) -> list[Counter[str]]:
    with calls(*nets) as counts:
        sample(model, *sides, steps=STEPS, **options)
    return counts


NETS, STRENGTHS = (0, 1, 2), (1.0, 0.6, 0.3)


@pytest.mark.parametrize(
    ("make", "core", "ours"),
    [
        (three, (4, 4, 4), (4, 4, 4)),
        (lambda: three(strength=0.0), (4, 4, 4), (4, 0, 4)),
        (ranged, (2, 1, 2), (2, 1, 2)),
        (positive_only, (4, 4, 4), (4, 4, 4)),
        (parted, (8, 4, 0), (8, 4, 0)),
    ],
)
def test_each_net_is_called_as_often_as_it_acts(
    make: Callable[[], Sides], core: tuple[int, ...], ours: tuple[int, ...]
) -> None:
    nets = [net(seed) for seed in NETS]
    before = counted(stock(), make(), *nets)
    after = counted(unrolled(), make(), *nets)
    assert tuple(count["net"] for count in before) == core
    assert tuple(count["net"] for count in after) == ours
    assert [count["hint"] for count in before] == list(core)
    assert [count["hint"] for count in after] == [min(1, count) for count in ours]


def test_the_hint_is_encoded_once_for_every_size_of_area() -> None:
    before = counted(stock(), areas(), net(0), net(1))
    after = counted(unrolled(), areas(), net(0), net(1))
    assert [count["net"] for count in after] == [count["net"] for count in before]
    assert before[0]["hint"] == before[0]["net"] and after[0]["hint"] <= 4


def test_a_hint_is_known_by_what_it_shows() -> None:
    """Union nets hand their encoder a new view of the same hint at every step."""
    import torch
    from comfyui_tandem.engine.control.lean_net import EncodedOnce

    encoder = torch.nn.Identity()
    seen: list[Any] = []
    encoder.register_forward_hook(lambda _, given, __: seen.append(given))
    once, shown = EncodedOnce(encoder), torch.rand(1, 3, 8, 8)
    once(shown), once(shown[None][0]), once(shown.clone())
    assert len(seen) == 1
    blank = torch.full_like(shown, torch.nan)
    once(shown + 1), once(shown[..., :4]), once(blank), once(blank)
    assert len(seen) == 4


@pytest.mark.parametrize(
    ("layout", "read", "deep"),
    [
        ("sd15", range(12), True),
        ("base", (0, 2, 3, 5, 6, 8, 9, 11), True),
        ("small", (0, 2, 3, 5, 6, 8, 9, 11), True),
        ("tiny", (0, 2, 3, 5, 6, 8), False),
    ],
)
def test_only_what_the_unet_reads_is_computed(
    layout: str, read: tuple[int, ...], deep: bool
) -> None:
    import torch
    from comfyui_tandem.engine.control import link

    [count] = counted(unrolled(layout), chained(both(), (net(0), hint(), 1.0, 0, 1)), net(0))
    assert [f"residual {i}" for i in read] == [
        f"residual {i}" for i in range(12) if count[f"residual {i}"]
    ]
    assert bool(count["middle"]) == bool(count["last block"]) == deep
    sides = three()
    cut = sample(unrolled(layout), *sides, steps=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(link, "lean", lambda network, _: network)
        whole = sample(unrolled(layout), *sides, steps=2)
    assert torch.equal(cut, whole)


def test_what_each_net_says_is_seen_before_it_is_summed() -> None:
    import torch
    from comfyui_tandem.engine.control.unroll import ControlChain

    seen: list[list[Any]] = []
    asked = ControlChain.own_residuals

    def watched(self: Any, *given: Any) -> Any:
        found = asked(self, *given)
        seen.append([(link.net.strength, control["output"][5].clone()) for link, control in found])
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ControlChain, "own_residuals", watched)
        sample(unrolled(), *three(), steps=1)
        sample(unrolled(), *chained(both(), (net(1), hint(1), 0.6, 0, 1)), steps=1)
    together, [(_, alone)] = seen
    assert [strength for strength, _ in together] == [1.0, 0.6, 0.3]
    assert torch.equal(together[1][1], alone)


def hinted() -> Sides:
    """The same as `three` by our own node."""
    from comfyui_tandem.nodes.apply import ApplyConditions

    hints = tuple(
        asked(net(seed), seed, strength=much) for seed, much in zip(NETS, STRENGTHS, strict=True)
    )
    positive, negative, _ = ApplyConditions.execute(*both(), hints).result
    return positive, negative


def in_8_bits() -> Sides:
    pictures = [(hint(seed) * 255).byte().float() / 255 for seed in NETS]
    return chained(
        both(),
        *((net(s), p, much, 0, 1) for s, p, much in zip(NETS, pictures, STRENGTHS, strict=True)),
    )


@pytest.mark.parametrize("more", [{}, {"cfg": 1.0}, {"batch": 2}])
def test_the_apply_node_unrolls_on_any_model(more: dict[str, Any]) -> None:
    import torch

    expected = sample(stock(), *in_8_bits(), steps=STEPS, **more)
    nets = [net(seed) for seed in NETS]
    for model in (stock(), unrolled()):
        assert torch.equal(sample(model, *hinted(), steps=STEPS, **more), expected)
        counts = counted(model, hinted(), *nets, **more)
        assert [count["net"] for count in counts] == [4, 4, 4]
        assert [count["hint"] for count in counts] == [1, 1, 1]


@pytest.mark.parametrize("layout", ["base", "small", "tiny"])
def test_the_apply_node_fits_a_model_of_another_loader(
    layout: str, caplog: pytest.LogCaptureFixture
) -> None:
    import torch

    model = stock(layout)
    found = sample(model, *hinted(), steps=2)
    assert torch.equal(found, sample(unrolled(layout), *in_8_bits(), steps=2))
    assert "could not be applied" not in caplog.text
    plain = sample(model, *both(), steps=2)
    assert not torch.equal(found, plain)
    sample(model, *in_8_bits(), steps=1)
    assert "could not be applied" in caplog.text  # nothing of it stayed on the model


@pytest.mark.parametrize("layout", ["base", "small", "tiny"])
def test_odd_sizes_fit_too(layout: str, caplog: pytest.LogCaptureFixture) -> None:
    found = sample(unrolled(layout), *three(), size=(9, 5))
    assert "could not be applied" not in caplog.text
    assert (found - sample(unrolled(layout), *both(), size=(9, 5))).abs().max() > 1e-3


def test_nothing_given_is_changed_and_a_stopped_run_leaves_nothing() -> None:
    import torch

    sides = three()
    last = sides[0][0][1]["control"]
    before = [dict(vars(one)) for one in (last, last.previous_controlnet)]
    expected = sample(unrolled(), *sides)

    class Stopped(Exception):
        pass

    def stop(*_: Any) -> None:
        raise Stopped

    watched = unrolled().clone()
    watched.set_model_output_block_patch(stop)
    foreign_sides = with_foreign()
    with pytest.raises(Stopped):
        sample(watched, *sides)
    with pytest.raises(Stopped):
        sample(watched, *foreign_sides)
    assert [dict(vars(one)) for one in (last, last.previous_controlnet)] == before
    its = foreign_sides[0][0][1]["control"].previous_controlnet
    assert its.cond_hint is None and its.timestep_range is None
    assert torch.equal(sample(unrolled(), *sides), expected)


def seen_within(model: Any, sides: Sides) -> tuple[Any, list[Any]]:
    """The latent, and the nets that another pack's wrapper finds when it walks the chain."""
    from comfy.patcher_extension import WrappersMP

    found: list[Any] = []

    def look(executor: Any, *args: Any, **kwargs: Any) -> Any:
        net = executor.class_obj.conds["positive"][0]["control"]
        while net is not None:
            found.append(net)
            net = net.previous_controlnet
        return executor(*args, **kwargs)

    watched = model.clone()
    watched.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, "other", look)
    return sample(watched, *sides), found


def test_other_packs_find_their_nets_behind_a_chain() -> None:
    sides = with_foreign()
    _, found = seen_within(unrolled(), sides)
    assert found[1] is sides[0][0][1]["control"]


def test_chains_stay_cores_where_another_pack_cuts_the_hints() -> None:
    import torch

    sides, tiled = three(), unrolled().clone()
    tiled.model_options["tiled_diffusion"] = True
    latent, found = seen_within(tiled, sides)
    assert found[0] is sides[0][0][1]["control"]
    assert torch.equal(latent, sample(unrolled(), *sides))


def test_a_control_lora_on_a_compact_model_is_refused() -> None:
    from comfyui_tandem.engine.errors import BadInput

    with pytest.raises(BadInput, match="give a whole ControlNet"):
        sample(unrolled("base"), *with_lora())


def test_models_of_nets_that_are_off_are_not_loaded() -> None:
    from comfyui_tandem.engine.control.unroll import unroll

    positive, negative = three(strength=0.0)
    conds = {"positive": [dict(positive[0][1])], "negative": [dict(negative[0][1])]}
    [chain] = unroll(conds, None)
    wrapped = [net(seed).control_model_wrapped for seed in (0, 2)]
    assert [id(model) for model in chain.get_models()] == [id(model) for model in wrapped]
    assert conds["positive"][0]["control"] is conds["negative"][0]["control"] is chain
