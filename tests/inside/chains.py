"""Conditioning with chains of ControlNets, as stock nodes make them, on narrow networks."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from .core_nodes import core_nodes
from .narrow import conditioning as prompt
from .narrow import foreign, random_unet
from .narrow_nets import control_net, hint

Sides = tuple[Any, Any]


@cache
def stock(layout: str = "sd15") -> Any:
    """Nothing of ours in it."""
    return foreign(random_unet(layout))


@cache
def unrolled(layout: str = "sd15") -> Any:
    from comfyui_tandem.nodes.models import FitControlNet

    return FitControlNet.execute(stock(layout)).result[0]


@cache
def net(seed: int = 0, **options: Any) -> Any:
    return control_net(seed, **options)


@cache
def adapter() -> Any:
    """A T2I-Adapter of the narrow widths."""
    import comfy.controlnet
    import torch
    from comfy.t2i_adapter.adapter import Adapter

    torch.manual_seed(9)
    network = Adapter(
        cin=192, channels=[64, 128, 256, 256], nums_rb=2, ksize=1, sk=True, use_conv=False, xl=False
    )
    return comfy.controlnet.T2IAdapter(network, 3, 8, "nearest-exact")


@cache
def control_lora() -> Any:
    """Core builds its network from the model's own weights, at the start of every run."""
    import comfy.controlnet
    import torch

    own = ("input_hint_block.", "zero_convs.", "middle_block_out.")
    weights = {
        key: value for key, value in control_net(7).control_model.state_dict().items()
        if key.startswith(own)
    }  # fmt: skip
    return comfy.controlnet.ControlLora(weights | {"lora_controlnet": torch.tensor([])})


@cache
def foreign_net(seed: int = 0) -> Any:
    """Of a class that core does not know, with its own idea of adding up."""
    import comfy.controlnet

    class Halved(comfy.controlnet.ControlNet):
        def get_control(self, x_noisy: Any, *rest: Any) -> Any:
            control = super().get_control(x_noisy, *rest)
            if control is None:
                return None
            return {k: [None if v is None else v * 0.5 for v in vs] for k, vs in control.items()}

        def copy(self) -> Any:
            own = Halved(None, load_device=self.load_device)
            own.control_model = self.control_model
            own.control_model_wrapped = self.control_model_wrapped
            self.copy_to(own)
            return own

    made = net(seed)
    own = Halved(None, load_device=made.load_device)
    own.control_model, own.control_model_wrapped = made.control_model, made.control_model_wrapped
    return own


def chained(sides: Sides, *applied: tuple[Any, Any, float, float, float]) -> Sides:
    """By the stock node: (net, hint, strength, start, end) each."""
    node = core_nodes().ControlNetApplyAdvanced()
    for one, image, strength, start, end in applied:
        if strength == 0:  # the node leaves it out; a file or another node may not
            sides = node.apply_controlnet(*sides, one, image, 1.0, start, end)
            sides[0][0][1]["control"].strength = 0.0
        else:
            sides = node.apply_controlnet(*sides, one, image, strength, start, end)
    return sides


def both() -> Sides:
    return prompt(), prompt(1)


def three(strength: float = 0.6) -> Sides:
    return chained(
        both(),
        (net(0), hint(0), 1.0, 0.0, 1.0),
        (net(1), hint(1), strength, 0.0, 1.0),
        (net(2), hint(2), 0.3, 0.0, 1.0),
    )


def ranged() -> Sides:
    return chained(
        both(),
        (net(0), hint(0), 1.0, 0.5, 1.0),
        (net(1), hint(1), 0.7, 0.0, 0.3),
        (net(2), hint(2), 0.3, 0.2, 0.8),
    )


def positive_only() -> Sides:
    positive, _ = three()
    return positive, prompt(1)


def parted() -> Sides:
    """One net on both sides, another before and behind it on the positive alone."""
    shared = chained(both(), (net(0), hint(0), 0.8, 0.0, 1.0))
    positive, _ = chained(shared, (net(1), hint(1), 0.5, 0.0, 1.0))
    return positive, shared[1]


def masked() -> Sides:
    import torch

    positive, negative = three()
    left = torch.zeros(1, 8, 8)
    left[..., :4] = 1.0
    positive[0][1]["mask"] = left
    other = prompt(3)
    other[0][1]["mask"] = 1.0 - left
    return [*positive, *other], negative


def areas() -> Sides:
    positive, negative = three()
    other, _ = chained((prompt(3), prompt(1)), (net(0), hint(5), 0.9, 0.0, 1.0))
    other[0][1] |= {"area": (8, 4, 0, 4), "strength": 1.0}
    return [*positive, *other], negative


def long_prompt() -> Sides:
    return chained((prompt(0, 154), prompt(1, 100)), (net(0), hint(0), 1.0, 0.0, 1.0))


def applied_to_uncond() -> Sides:
    """The oldest node: the sampler hands the net to the negative."""
    [positive] = core_nodes().ControlNetApply().apply_controlnet(prompt(), net(0), hint(), 0.7)
    return positive, prompt(1)


def hints_for_a_batch() -> Sides:
    return chained(both(), (net(0), hint(0, batch=2), 1.0, 0.0, 1.0), (net(1), hint(1), 1.0, 0, 1))


def with_adapter() -> Sides:
    return chained(
        both(),
        (net(0), hint(0), 1.0, 0.0, 1.0),
        (adapter(), hint(1), 0.8, 0.0, 0.6),
        (net(2), hint(2), 0.3, 0.0, 1.0),
    )


def with_lora() -> Sides:
    return chained(both(), (control_lora(), hint(0), 0.9, 0, 1), (net(1), hint(1), 0.5, 0, 1))


def with_foreign() -> Sides:
    return chained(
        both(),
        (net(0), hint(0), 1.0, 0.0, 1.0),
        (foreign_net(1), hint(1), 0.8, 0.0, 1.0),
        (net(2), hint(2), 0.3, 0.0, 1.0),
    )


def pooled() -> Sides:
    pooling = net(4, global_average_pooling=True)
    return chained(both(), (net(0), hint(0), 1.0, 0, 1), (pooling, hint(1), 0.5, 0, 1))


CASES: dict[str, tuple[Callable[[], Sides], dict[str, Any]]] = {
    "three nets": (three, {}),
    "a strength of 0": (lambda: three(strength=0.0), {}),
    "only a strength of 0": (lambda: chained(both(), (net(0), hint(), 0.0, 0.0, 1.0)), {}),
    "ranges": (ranged, {}),
    "positive only": (positive_only, {}),
    "parted": (parted, {}),
    "cfg 1": (three, {"cfg": 1.0}),
    "masks": (masked, {}),
    "areas": (areas, {}),
    "lengths": (long_prompt, {}),
    "applied to uncond": (applied_to_uncond, {}),
    "batch of 2": (three, {"batch": 2}),
    "hints for a batch": (hints_for_a_batch, {"batch": 3}),
    "adapter": (with_adapter, {}),
    "control lora": (with_lora, {}),
    "foreign class": (with_foreign, {}),
    "pooling": (pooled, {}),
    "odd size": (three, {"size": (9, 5)}),
    "sampler of 2 calls a step": (ranged, {"sampler": "heun"}),
}


def forget() -> None:
    """Let go of all networks."""
    import comfy.model_management

    comfy.model_management.unload_all_models()
    for kept in (stock, unrolled, net, adapter, control_lora, foreign_net):
        kept.cache_clear()
