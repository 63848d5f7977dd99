"""One safetensors file: a UNet in either keys, or a whole checkpoint."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from .narrow import HEADS, random_unet

pytestmark = pytest.mark.comfy
LDM_PREFIX = "model.diffusion_model."


@cache
def unet() -> Any:
    return random_unet("small")


def saved(path: Path, weights: dict[str, Any], **metadata: str) -> Path:
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: value.contiguous().clone() for key, value in weights.items()}, path, metadata)
    return path


def in_keys(form: str) -> dict[str, Any]:
    from comfyui_tandem.engine.sampling.unet_layout import to_ldm

    weights = unet().state_dict()
    if form == "diffusers":
        return weights
    prefix = "" if form == "ldm" else LDM_PREFIX
    return {prefix + key: value for key, value in to_ldm(weights)[0].items()}


@pytest.mark.parametrize("form", ["diffusers", "ldm", "checkpoint"])
def test_a_unet_opens_in_any_keys(form: str, tmp_path: Path) -> None:
    import torch
    from comfyui_tandem.engine.sampling.model_file import load_model_file

    from .narrow import model_of

    path = saved(tmp_path / "unet.safetensors", in_keys(form), heads=str(HEADS))
    model, clip, vae = load_model_file(path)
    assert clip is None and vae is None
    expected = model_of(unet()).model.diffusion_model.state_dict()
    found = model.model.diffusion_model.state_dict()
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[key], found[key]) for key in expected)


def test_metadata_tells_heads_prediction_and_positions(tmp_path: Path) -> None:
    from comfyui_tandem.engine.errors import BadInput
    from comfyui_tandem.engine.sampling.model_file import load_model_file
    from comfyui_tandem.engine.sampling.told import told_by_metadata

    positions = (0, 1, 3, 4, 6, 7, 9, 10)
    told = {"heads": "4", "prediction_type": "v_prediction", "positions": json.dumps(positions)}
    model, _, _ = load_model_file(saved(tmp_path / "a.safetensors", in_keys("diffusers"), **told))
    assert model.model.model_config.unet_config["num_heads"] == 4
    assert model.model.model_type.name == "V_PREDICTION"
    [fit] = model.get_all_wrappers("apply_model")[:1]
    assert fit.positions == positions
    assert told_by_metadata({"modelspec.prediction_type": "v"}) == {"v_prediction": True}
    with pytest.raises(BadInput, match="metadata"):
        told_by_metadata({"heads": "many"})
    with pytest.raises(BadInput, match="metadata"):
        told_by_metadata({"positions": "3"})


def test_a_whole_checkpoint_gives_clip_and_vae_too(tmp_path: Path) -> None:
    """The parts that core would have saved of a MODEL, a CLIP and a VAE."""
    import torch
    from comfy import supported_models
    from comfy.ldm.models.autoencoder import AutoencoderKL
    from comfy.sd1_clip import SD1ClipModel
    from comfyui_tandem.engine.sampling.model_file import load_model_file

    torch.manual_seed(0)
    empty = SD1ClipModel(dtype=torch.float16).state_dict()  # core leaves it uninitialised
    text = {key: (0.02 * torch.randn(empty[key].shape)).half() for key in empty}
    core = supported_models.SD15({"in_channels": 4})
    config = {
        "double_z": True, "z_channels": 4, "resolution": 256, "in_channels": 3, "out_ch": 3,
        "ch": 128, "ch_mult": [1, 2, 4, 4], "num_res_blocks": 2, "attn_resolutions": [],
        "dropout": 0.0,
    }  # fmt: skip
    vae = AutoencoderKL(ddconfig=config, embed_dim=4).half().state_dict()
    whole = in_keys("checkpoint") | {f"first_stage_model.{key}": vae[key] for key in vae}
    whole |= core.process_clip_state_dict_for_saving(dict(text))
    path = saved(tmp_path / "whole.safetensors", whole, heads=str(HEADS))
    _, clip, decoder = load_model_file(path)
    assert clip is not None and decoder is not None
    layer = "transformer.text_model.encoder.layers.11.mlp.fc2.weight"
    loaded: Any = clip.cond_stage_model
    assert torch.equal(loaded.clip_l.state_dict()[layer], text[f"clip_l.{layer}"])
    assert decoder.decode(torch.zeros(1, 4, 4, 4)).shape == (1, 32, 32, 3)


def test_the_node_lists_files_of_comfyuis_folders_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import folder_paths
    from comfyui_tandem.engine.errors import BadInput
    from comfyui_tandem.nodes.models import LoadCompactModel

    saved(tmp_path / "unet" / "bk" / "small.safetensors", in_keys("diffusers"), heads=str(HEADS))
    (tmp_path / "unet" / "other.bin").touch()
    outside = saved(tmp_path / "outside.safetensors", in_keys("diffusers"), heads=str(HEADS))
    places = folder_paths.folder_names_and_paths
    kinds = folder_paths.supported_pt_extensions
    monkeypatch.setitem(places, "diffusion_models", ([str(tmp_path / "unet")], kinds))
    monkeypatch.setattr(folder_paths, "filename_list_cache", {})
    options = LoadCompactModel.define_schema().inputs[0].options
    assert "diffusion_models/bk/small.safetensors" in options
    assert not any("other" in name or "outside" in name for name in options)
    model, clip, vae, summary = LoadCompactModel.execute(
        "diffusion_models/bk/small.safetensors"
    ).result
    assert clip is None and vae is None and model.get_all_wrappers("apply_model")
    assert "9 of 16 attentions, 160 of 278 modules" in summary
    for name in (str(outside), "diffusion_models/../outside.safetensors"):
        with pytest.raises(BadInput, match="choose one of demo"):
            LoadCompactModel.execute(name)


def test_another_family_is_refused_before_its_weights_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from comfyui_tandem.engine.errors import BadInput
    from comfyui_tandem.engine.sampling import model_file

    flux = {
        "double_blocks.0.img_attn.norm.key_norm.scale": torch.zeros(128),
        "img_in.weight": torch.zeros(8, 64),
    }
    path = saved(tmp_path / "flux.safetensors", {LDM_PREFIX + key: flux[key] for key in flux})
    monkeypatch.setattr(model_file, "read_weights", None)
    with pytest.raises(BadInput, match=r"kind of model is .*: use Load Checkpoint or Load Diff"):
        model_file.load_model_file(path)


def test_what_is_no_safetensors_file_is_told(tmp_path: Path) -> None:
    from comfyui_tandem.engine.errors import Unavailable
    from comfyui_tandem.engine.sampling.model_file import load_model_file

    with pytest.raises(Unavailable, match="put it there"):
        load_model_file(tmp_path / "none.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"{}")
    with pytest.raises(Unavailable, match="fetch it anew"):
        load_model_file(tmp_path / "broken.safetensors")
