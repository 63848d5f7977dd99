"""Narrow random ControlNets, hints for them, and what is called of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from .narrow import CONTEXT, HEADS, WIDTHS


def random_network(seed: int = 0, resnets: int = 2, levels: int = 4) -> Any:
    """Core's network of a ControlNet, a full one's unless told, every residual alive."""
    import comfy.ops
    import torch
    from comfy.cldm.cldm import ControlNet

    torch.manual_seed(seed)
    network = ControlNet(
        image_size=32, in_channels=4, model_channels=WIDTHS[0], hint_channels=3,
        num_res_blocks=[resnets] * levels, channel_mult=(1, 2, 4, 4)[:levels], num_heads=HEADS,
        use_spatial_transformer=True,
        transformer_depth=[int(level < 3) for level in range(levels) for _ in range(resnets)],
        transformer_depth_middle=1, context_dim=CONTEXT, legacy=False, dtype=torch.float32,
        operations=comfy.ops.disable_weight_init,
    )  # fmt: skip
    for parameter in network.parameters():
        spread = 0.02 if parameter.ndim == 1 else parameter[0].numel() ** -0.5
        torch.nn.init.normal_(parameter, std=spread)
    return network.eval()


def control_net(seed: int = 0, shape: dict[str, int] | None = None, **options: Any) -> Any:
    """Core's control object around it."""
    import comfy.controlnet
    import torch

    return comfy.controlnet.ControlNet(
        random_network(seed, **(shape or {})), load_device=torch.device("cpu"), **options
    )


def hint(seed: int = 0, batch: int = 1) -> Any:
    """[batch, 64, 64, 3]."""
    import torch

    return torch.rand(batch, 64, 64, 3, generator=torch.Generator().manual_seed(seed))


def asked(net: Any, seed: int = 0, **request: Any) -> Any:
    """The hint of that seed, in 8 bits, as Run Conditions hands it on."""
    import numpy as np
    from comfyui_tandem.engine.conditions import Condition, ConditionRequest, Hint, Photo

    photo = (Photo(np.zeros((64, 64, 3), np.uint8)),)
    picture = (hint(seed)[0].numpy() * 255).astype(np.uint8)
    wanted = ConditionRequest("canny", resolution=64, **request)
    return Hint(Condition(wanted, photo, net), (picture,), "local", 0.0)


@contextmanager
def calls(*nets: Any) -> Generator[list[Counter[str]]]:
    """What was called of each net's network, by core's own copy or by a lean one."""
    counts = [Counter[str]() for _ in nets]
    kept: list[Any] = []
    for one, count in zip(nets, counts, strict=True):
        network = one.control_model
        parts = {
            "net": network.time_embed,
            "hint": network.input_hint_block,
            "last block": network.input_blocks[-1],
            "middle": network.middle_block,
            **{f"residual {i}": conv for i, conv in enumerate(network.zero_convs)},
        }
        for name, part in parts.items():
            kept.append(part.register_forward_hook(lambda *_, c=count, n=name: c.update([n])))
    try:
        yield counts
    finally:
        for handle in kept:
            handle.remove()
