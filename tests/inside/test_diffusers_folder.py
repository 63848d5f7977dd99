"""A pipeline in diffusers' folders opens, at any width of the UNet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.comfy
UNET: dict[str, Any] = {
    "sample_size": 16,
    "block_out_channels": (32, 64, 64, 64),
    "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
    "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
    "layers_per_block": 1,
    "mid_block_type": None,
    "attention_head_dim": 8,
    "cross_attention_dim": 768,
}


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, Any]:
    """A folder like BK-SDM Small's, with few channels and layers, its UNet and its text encoder."""
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    folder = tmp_path_factory.mktemp("pipeline")
    torch.manual_seed(0)
    unet = UNet2DConditionModel(**UNET).eval()
    unet.save_pretrained(folder / "unet")
    text = CLIPTextModel(CLIPTextConfig(num_hidden_layers=2, hidden_size=768, vocab_size=49408))
    text.save_pretrained(folder / "text_encoder")
    AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        layers_per_block=2,
    ).save_pretrained(folder / "vae", variant="fp16")
    return folder, unet, text.eval()


def test_unet_text_and_vae_are_the_folders(
    pipeline: tuple[Path, Any, Any], caplog: pytest.LogCaptureFixture
) -> None:
    import torch
    from comfyui_tandem.engine.sampling.diffusers_folder import (
        is_diffusers_folder,
        load_diffusers_folder,
    )

    folder, unet, text = pipeline
    assert is_diffusers_folder(folder) and not is_diffusers_folder(folder / "unet")
    model, clip, vae = load_diffusers_folder(folder)
    assert model.model.model_type.name == "EPS"  # no scheduler is there to say another
    assert "clip missing: ['text_model" not in caplog.text
    context = clip.encode_from_tokens(clip.tokenize("a bird"))
    tokens = torch.tensor([[token for token, _ in clip.tokenize("a bird")["l"][0]]])
    with torch.no_grad():
        assert torch.allclose(context, text(tokens).last_hidden_state, atol=0.02)  # half precision
    x, times = torch.randn(1, 4, 16, 16), torch.tensor([700])
    with torch.no_grad():
        expected = unet(x, times, context).sample
        found = model.model.diffusion_model(x, times.float(), context=context)
    assert (found - expected).abs().max() < 1e-5
    assert vae.encode(torch.rand(1, 32, 32, 3)).shape == (1, 4, 4, 4)


def test_configs_are_read_as_diffusers_means_them() -> None:
    from comfyui_tandem.engine.errors import BadInput
    from comfyui_tandem.engine.sampling.told import told_by_configs

    told = told_by_configs({"attention_head_dim": 8}, {"prediction_type": "v_prediction"})
    assert told == {"heads": 8, "v_prediction": True}
    per_level = {"attention_head_dim": [5, 10], "block_out_channels": [320, 640]}
    assert told_by_configs(per_level, {}) == {"head_width": 64, "v_prediction": False}
    assert told_by_configs(per_level, None) == {"head_width": 64}
    with pytest.raises(BadInput, match="attention_head_dim"):
        told_by_configs({"attention_head_dim": [5, 5], "block_out_channels": [320, 640]}, None)
    with pytest.raises(BadInput, match="prediction_type"):
        told_by_configs({}, {"prediction_type": "sample"})


def test_a_broken_folder_names_its_file(pipeline: tuple[Path, Any, Any], tmp_path: Path) -> None:
    from comfyui_tandem.engine.errors import Unavailable
    from comfyui_tandem.engine.sampling.diffusers_folder import load_diffusers_folder

    with pytest.raises(Unavailable, match=r"diffusion_pytorch_model\.safetensors"):
        load_diffusers_folder(tmp_path)
    (tmp_path / "unet").mkdir()
    source = pipeline[0] / "unet" / "diffusion_pytorch_model.safetensors"
    (tmp_path / "unet" / source.name).hardlink_to(source)
    with pytest.raises(Unavailable, match=r"config\.json"):
        load_diffusers_folder(tmp_path)
    (tmp_path / "unet" / "config.json").write_text(json.dumps([])[:1])
    with pytest.raises(Unavailable, match="fetch it anew"):
        load_diffusers_folder(tmp_path)


def test_the_node_lists_and_opens_it(
    pipeline: tuple[Path, Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import folder_paths
    from comfyui_tandem.engine.errors import BadInput
    from comfyui_tandem.nodes.models import LoadCompactModel

    name, places = pipeline[0].name, folder_paths.folder_names_and_paths
    with pytest.raises(BadInput, match="choose one of demo"):
        LoadCompactModel.execute(name)
    monkeypatch.setitem(places, "diffusers", ([str(pipeline[0].parent)], {"folder"}))
    assert name in LoadCompactModel.define_schema().inputs[0].options
    deeper = pipeline[0].parent.parent
    monkeypatch.setitem(places, "diffusers", ([str(deeper)], {"folder"}))
    nested = pipeline[0].relative_to(deeper).as_posix()
    assert nested in LoadCompactModel.define_schema().inputs[0].options
    model, *_ = LoadCompactModel.execute(nested).result
    assert model.model.diffusion_model.state_dict()["input_blocks.0.0.weight"].shape[0] == 32


def test_a_unet_alone_is_enough(pipeline: tuple[Path, Any, Any], tmp_path: Path) -> None:
    from comfyui_tandem.engine.sampling.diffusers_folder import (
        is_diffusers_folder,
        load_diffusers_folder,
    )

    assert not is_diffusers_folder(tmp_path)
    (tmp_path / "unet").symlink_to(pipeline[0] / "unet")
    assert is_diffusers_folder(tmp_path)
    assert load_diffusers_folder(tmp_path)[1:] == (None, None)


V2_UNET: dict[str, Any] = UNET | {
    "block_out_channels": (64, 128, 128),
    "down_block_types": UNET["down_block_types"][:3],
    "up_block_types": UNET["up_block_types"][1:],
    "attention_head_dim": [1, 2, 2],
    "cross_attention_dim": 64,
    "use_linear_projection": True,
}


def test_a_v2_pipeline_predicts_v_as_its_scheduler_says(
    pipeline: tuple[Path, Any, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import torch
    from comfyui_tandem.engine.sampling.diffusers_folder import load_diffusers_folder
    from diffusers import DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    unet = UNet2DConditionModel(**V2_UNET).eval()
    unet.save_pretrained(tmp_path / "unet")
    text = CLIPTextModel(
        CLIPTextConfig(
            num_hidden_layers=23, hidden_size=64, intermediate_size=64, num_attention_heads=2,
            vocab_size=49408, hidden_act="gelu",
        )
    ).eval()  # fmt: skip
    text.save_pretrained(tmp_path / "text_encoder")
    (tmp_path / "vae").symlink_to(pipeline[0] / "vae")
    DDIMScheduler(prediction_type="v_prediction").save_pretrained(tmp_path / "scheduler")
    model, clip, _ = load_diffusers_folder(tmp_path)
    assert "clip missing: ['transformer" not in caplog.text
    assert model.model.model_type.name == "V_PREDICTION"
    tokens = clip.tokenize("a bird")
    context = clip.encode_from_tokens(tokens)
    x, times = torch.randn(1, 4, 16, 16), torch.tensor([700])
    with torch.no_grad():
        ids = torch.tensor([[token for token, _ in tokens["h"][0]]])
        assert torch.allclose(context, text(ids).last_hidden_state, atol=0.02)  # half precision
        expected = unet(x, times, context).sample
        found = model.model.diffusion_model(x, times.float(), context=context)
    assert (found - expected).abs().max() < 1e-5
