"""A narrow random UNet, ControlNets and a prompt of SDXL's shape: three levels, pooled text."""

from __future__ import annotations

from functools import cache
from typing import Any

from .narrow import CONTEXT

HEAD_WIDTH, POOLED, ADM = 64, 1280, 2816
SHAPE: dict[str, Any] = {
    "in_channels": 4, "model_channels": 64, "num_res_blocks": [2, 2, 2], "channel_mult": (1, 2, 4),
    "transformer_depth": [0, 0, 1, 1, 2, 2], "transformer_depth_middle": 2,
    "context_dim": CONTEXT, "num_heads": -1, "num_head_channels": HEAD_WIDTH,
    "use_spatial_transformer": True, "use_linear_in_transformer": True,
    "num_classes": "sequential", "adm_in_channels": ADM, "legacy": False,
}  # fmt: skip


@cache
def xl_model() -> Any:
    import comfy.supported_models
    import torch
    from comfy.model_patcher import ModelPatcher

    more = {
        "image_size": 32, "out_channels": 4,
        "transformer_depth_output": [0, 0, 0, 1, 1, 1, 2, 2, 2],
        "use_temporal_attention": False, "dtype": torch.float32,
    }  # fmt: skip
    known = comfy.supported_models.SDXL(SHAPE | more)
    known.set_inference_dtype(torch.float32, None)
    torch.manual_seed(0)
    model = known.get_model({})
    _made_random(model.diffusion_model)
    device = torch.device("cpu")
    return ModelPatcher(model.eval(), load_device=device, offload_device=device)


@cache
def xl_net(seed: int) -> Any:
    import comfy.controlnet
    import comfy.ops
    import torch
    from comfy.cldm.cldm import ControlNet

    torch.manual_seed(seed)
    network = ControlNet(
        image_size=32, hint_channels=3, dtype=torch.float32,
        operations=comfy.ops.disable_weight_init, **SHAPE,
    )  # fmt: skip
    _made_random(network)
    return comfy.controlnet.ControlNet(network.eval(), load_device=torch.device("cpu"))


def xl_sides() -> tuple[Any, Any]:
    import torch

    made: list[Any] = []
    for seed in (0, 1):
        chance = torch.Generator().manual_seed(seed)
        pooled = {"pooled_output": torch.randn(1, POOLED, generator=chance)}
        made.append([[torch.randn(1, 77, CONTEXT, generator=chance), pooled]])
    return made[0], made[1]


def _made_random(network: Any) -> None:
    import torch

    for parameter in network.parameters():
        spread = 0.02 if parameter.ndim == 1 else parameter[0].numel() ** -0.5
        torch.nn.init.normal_(parameter, std=spread)
