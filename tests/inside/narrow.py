"""Narrow random UNets and ControlNets of every layout, in core and in diffusers."""

from __future__ import annotations

from typing import Any

CONTEXT, HEADS = 96, 8
HEAD_WIDTH = 64  # of v2 layouts
WIDTHS = (64, 128, 256, 256)
DOWN = ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"]
UP = ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3
LAYOUTS: dict[str, dict[str, Any]] = {
    "sd15": {},
    "base": {"layers_per_block": 1},
    "small": {"layers_per_block": 1, "mid_block_type": None},
    "tiny": {
        "layers_per_block": 1,
        "mid_block_type": None,
        "down_block_types": DOWN[:3],
        "up_block_types": UP[1:],
        "block_out_channels": WIDTHS[:3],
    },
    "uneven": {"layers_per_block": [1, 2, 1, 1]},
    "linear": {"use_linear_projection": True},
}
V2: dict[str, Any] = {
    "use_linear_projection": True,
    "attention_head_dim": [width // HEAD_WIDTH for width in WIDTHS],
}
LAYOUTS |= {f"v2-{name}": LAYOUTS[name] | V2 for name in ("base", "small")}
LAYOUTS["v2-tiny"] = LAYOUTS["tiny"] | V2 | {"attention_head_dim": V2["attention_head_dim"][:3]}


def random_unet(layout: str, **more: Any) -> Any:
    """Of diffusers, in evaluation mode."""
    import torch
    from diffusers import UNet2DConditionModel

    torch.manual_seed(0)
    options: dict[str, Any] = {
        "sample_size": 16,
        "block_out_channels": WIDTHS,
        "down_block_types": DOWN,
        "up_block_types": UP,
        "layers_per_block": 2,
        "attention_head_dim": HEADS,
        "cross_attention_dim": CONTEXT,
    }
    return UNet2DConditionModel(**(options | LAYOUTS[layout] | more)).eval()


def heads_of(unet: Any) -> dict[str, int]:
    """What `build_unet` has to be told of it."""
    same = isinstance(unet.config.attention_head_dim, int)
    return {"heads": HEADS} if same else {"head_width": HEAD_WIDTH}


def model_of(unet: Any) -> Any:
    """The same as a core MODEL."""
    from comfyui_tandem.engine.sampling.compact_unet import build_unet

    return build_unet(unet.state_dict(), **heads_of(unet))


def foreign(unet: Any) -> Any:
    """The same as core itself would load it: nothing of ours in it."""
    from comfy.patcher_extension import WrappersMP
    from comfyui_tandem.engine.control.positions import FIT
    from comfyui_tandem.engine.control.unroll import UNROLL
    from comfyui_tandem.engine.sampling import attention_fit

    model = model_of(unet)
    model.remove_wrappers_with_key(WrappersMP.APPLY_MODEL, FIT)
    model.remove_wrappers_with_key(WrappersMP.OUTER_SAMPLE, UNROLL)
    model.remove_wrappers_with_key(WrappersMP.APPLY_MODEL, attention_fit.KEY)
    if unet.mid_block is None:
        model.model.diffusion_model.middle_block = None
    return model


def conditioning(seed: int = 0, length: int = 77) -> list[list[Any]]:
    import torch

    generator = torch.Generator().manual_seed(seed)
    return [[torch.randn(1, length, CONTEXT, generator=generator), {}]]


def sample(model: Any, positive: Any, negative: Any, **given: Any) -> Any:
    """[batch, 4, *size] by core's sampler."""
    import comfy.sample
    import torch

    options: dict[str, Any] = {
        "steps": 2, "cfg": 4.0, "sampler": "euler", "scheduler": "normal", "batch": 1,
        "size": (8, 8),
    }  # fmt: skip
    options |= given
    latent = torch.zeros(options["batch"], 4, *options["size"])
    noise = comfy.sample.prepare_noise(latent, 1)
    return comfy.sample.sample(
        model, noise, options["steps"], options["cfg"], options["sampler"], options["scheduler"],
        positive, negative, latent, disable_pbar=True, seed=1,
    )  # fmt: skip
