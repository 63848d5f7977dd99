"""Every SD1.5-shaped layout computes in core what it computes in diffusers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from .narrow import CONTEXT, HEADS, LAYOUTS, heads_of, model_of, random_unet

pytestmark = pytest.mark.comfy


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("size", [(16, 16), (17, 13)])
def test_equals_diffusers(layout: str, size: tuple[int, int]) -> None:
    import torch

    unet = random_unet(layout)
    x, context = torch.randn(2, 4, *size), torch.randn(2, 77, CONTEXT)
    times = torch.tensor([500, 20])
    with torch.no_grad():
        expected = unet(x, times, context).sample
        built = model_of(unet).model.diffusion_model
        found = built(x, times.float(), context=context)
    assert expected.std() > 0.1
    assert (found - expected).abs().max() < 1e-5


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layout_is_what_core_detects(layout: str) -> None:
    from comfy.model_detection import detect_unet_config
    from comfyui_tandem.engine.sampling.unet_layout import to_ldm

    converted, found = to_ldm(random_unet(layout).state_dict())
    detected = detect_unet_config(converted, "")
    ours = found.config()
    assert {key: ours[key] for key in detected if key in ours} == {
        key: value for key, value in detected.items() if key in ours
    }


@pytest.mark.parametrize("layout", LAYOUTS)
def test_ldm_keys_give_the_same_unet_and_are_left_as_they_were(layout: str) -> None:
    import torch
    from comfyui_tandem.engine.sampling.compact_unet import build_unet
    from comfyui_tandem.engine.sampling.unet_layout import to_ldm

    unet = random_unet(layout)
    weights = unet.state_dict()
    converted, _ = to_ldm(weights)
    before = set(converted)
    models = [build_unet(given, **heads_of(unet)) for given in (weights, converted)]
    assert set(converted) == before
    one, other = (model.model.model_config.unet_config for model in models)
    assert all(one[key] == other[key] for key in one.keys() & other.keys())
    one, other = (model.model.diffusion_model.state_dict() for model in models)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_without_a_middle_skip_and_feature_are_two_tensors() -> None:
    """Else a ControlNet's residual on the last skip would also land on the running feature."""
    import torch
    from comfyui_tandem.engine.sampling.compact_unet import build_unet

    unet = random_unet("small")
    x, context = torch.randn(1, 4, 16, 16), torch.randn(1, 77, CONTEXT)
    times = torch.tensor([300])
    skips = 8  # of a UNet with one ResNet a level
    with torch.no_grad():
        model = build_unet(unet.state_dict(), heads=HEADS).model.diffusion_model
        shapes = [skip.shape for skip in skips_of(unet, x, times, context)]
        residuals = [torch.randn(shape) for shape in shapes]
        expected = unet_with(unet, x, times, context, residuals)
        control = {"output": list(residuals), "middle": []}
        found = model(x, times.float(), context=context, control=control)
    assert len(residuals) == skips
    assert (found - expected).abs().max() < 1e-5


def skips_of(unet: Any, x: Any, times: Any, context: Any) -> list[Any]:
    embedding = unet.time_embedding(unet.time_proj(times))
    h = unet.conv_in(x)
    found = [h]
    for block in unet.down_blocks:
        extra = (
            {"encoder_hidden_states": context} if getattr(block, "has_cross_attention", 0) else {}
        )
        h, states = block(hidden_states=h, temb=embedding, **extra)
        found += states
    return found


def unet_with(unet: Any, x: Any, times: Any, context: Any, residuals: list[Any]) -> Any:
    import torch

    return unet(
        x,
        times,
        context,
        down_block_additional_residuals=tuple(residuals),
        mid_block_additional_residual=torch.zeros(1),
    ).sample


def test_heads_have_to_be_told() -> None:
    from comfyui_tandem.engine.errors import BadInput
    from comfyui_tandem.engine.sampling.compact_unet import build_unet

    weights = random_unet("tiny").state_dict()
    with pytest.raises(BadInput, match="write heads or head_width into the file's metadata"):
        build_unet(weights)
    with pytest.raises(BadInput, match="not both"):
        build_unet(weights, heads=8, head_width=64)
    with pytest.raises(BadInput, match="attention heads is"):
        build_unet(weights, heads=0)


@pytest.mark.parametrize(("context", "linear"), [(768, False), (1024, True)])
def test_standard_heads_are_known(context: int, linear: bool) -> None:
    from comfyui_tandem.engine.sampling.compact_unet import build_unet

    unet = random_unet("tiny", cross_attention_dim=context, use_linear_projection=linear)
    config = build_unet(unet.state_dict()).model.model_config.unet_config
    heads = (config["num_heads"], config["num_head_channels"])
    assert heads == ((-1, 64) if linear else (8, -1))


@pytest.mark.parametrize("spread", [0.01, 0.2])
def test_v_prediction_is_guessed_as_core_does_when_nobody_says(spread: float) -> None:
    from comfyui_tandem.engine.sampling.compact_unet import build_unet

    weights = random_unet("v2-tiny").state_dict()
    bias = weights["up_blocks.2.attentions.1.transformer_blocks.0.norm1.bias"]
    bias.normal_(std=spread)
    guessed = build_unet(weights, head_width=64).model.model_type.name
    assert guessed == ("V_PREDICTION" if spread > 0.1 else "EPS")
    told = build_unet(weights, head_width=64, v_prediction=spread < 0.1).model.model_type.name
    assert told != guessed


@pytest.mark.parametrize(
    ("layout", "millions"),
    [
        ("sd15", 859.5), ("base", 579.4), ("small", 482.3), ("tiny", 323.4),
        ("v2-base", 583.5), ("v2-small", 485.8), ("v2-tiny", 326.8),
    ],
)  # fmt: skip
def test_at_full_size_the_parameters_are_the_published_ones(layout: str, millions: float) -> None:
    """Counted in core's own UNet of the layout that is read; the meta device holds no weights."""
    import comfy.ops
    import torch
    from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
    from comfyui_tandem.engine.sampling.unet_layout import to_ldm

    widths = (320, 640, 1280, 1280)[: 3 if "tiny" in layout else 4]
    more: dict[str, Any] = {"block_out_channels": widths, "cross_attention_dim": 768}
    if layout.startswith("v2"):
        more |= {"cross_attention_dim": 1024, "attention_head_dim": [w // 64 for w in widths]}
    with torch.device("meta"):
        weights = random_unet(layout, **more).state_dict()
    converted, found = to_ldm(weights)
    built = UNetModel(
        **found.config(), num_heads=8, device="meta", operations=comfy.ops.disable_weight_init
    ).state_dict()
    assert {key: value.shape for key, value in converted.items()} == {
        key: value.shape for key, value in built.items()
    }
    assert round(sum(value.numel() for value in built.values()) / 1e6, 1) == millions


def test_foreign_keys_are_refused() -> None:
    import torch
    from comfyui_tandem.engine.errors import BadInput
    from comfyui_tandem.engine.sampling.compact_unet import build_unet

    weights = random_unet("tiny").state_dict()
    with pytest.raises(BadInput, match="UNet key"):
        build_unet(weights | {"down_blocks.0.strange.weight": torch.zeros(1)}, heads=8)
    with pytest.raises(BadInput, match="kind of model"):
        build_unet({"strange.weight": torch.zeros(1)}, heads=8)
    weights["conv_norm_out.weight"] = torch.zeros(7)
    with pytest.raises(BadInput, match="widths"):
        build_unet(weights, heads=8)


def meta(**shapes: tuple[int, ...]) -> dict[str, Any]:
    import torch

    return {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}


def sdxl() -> dict[str, Any]:
    """The UNet in diffusers' keys, without weights."""
    import torch
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        return UNet2DConditionModel(
            block_out_channels=(320, 640, 1280),
            down_block_types=["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
            up_block_types=["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
            transformer_layers_per_block=[1, 2, 10],
            attention_head_dim=[5, 10, 20],
            cross_attention_dim=2048,
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=256,
            projection_class_embeddings_input_dim=2816,
        ).state_dict()


FLUX = {
    "img_in.weight": (3072, 64),
    "double_blocks.0.img_attn.norm.key_norm.scale": (128,),
    "double_blocks.0.img_attn.qkv.weight": (9216, 3072),
    "single_blocks.0.linear1.weight": (21504, 3072),
}
SD3 = {
    "x_embedder.proj.weight": (1536, 16, 2, 2),
    "joint_blocks.0.context_block.attn.qkv.weight": (4608, 1536),
}


LORA = {"lora_unet_mid_block_resnets_0_conv1.lora_up.weight": (320, 4, 1, 1)}
BROKEN = {"head.modulation": (1, 2, 1536)}  # begins like Wan


@pytest.mark.parametrize(
    ("family", "make"),
    [
        ("'SDXL'", sdxl),
        ("'SDXL-shaped'", lambda: sdxl() | meta(**{"conv_in.weight": (32, 4, 3, 3)})),
        ("'Flux", lambda: meta(**FLUX)),
        ("'SD3'", lambda: meta(**SD3)),
        (r"\['lora_unet_", lambda: meta(**LORA)),
        (r"\['head", lambda: meta(**BROKEN)),
    ],
)
def test_other_families_are_named(family: str, make: Callable[[], dict[str, Any]]) -> None:
    from comfyui_tandem.engine.errors import BadInput
    from comfyui_tandem.engine.sampling.kind import check_kind

    with pytest.raises(BadInput, match=f"kind of model is {family}.*: use Load Checkpoint"):
        check_kind(make())


def test_an_inpainting_unet_is_refused() -> None:
    from comfyui_tandem.engine.errors import BadInput
    from comfyui_tandem.engine.sampling.kind import check_kind

    with pytest.raises(BadInput, match="input channels is 9"):
        check_kind(meta(**{"input_blocks.0.0.weight": (320, 9, 3, 3)}))
