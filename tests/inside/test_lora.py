"""A LoRA made for the full SD1.5 acts on the layers of compact UNets that came from its own."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from .narrow import V2, conditioning, foreign, model_of, random_unet, sample

pytestmark = pytest.mark.comfy
RANK, STRENGTH = 2, 0.7
MODULES = {"sd15": 278, "base": 178, "small": 160, "tiny": 147, "uneven": 209, "v2-tiny": 147}
MOVED = {"sd15": 0, "base": 52, "small": 52, "tiny": 98, "uneven": 36, "v2-tiny": 98}
SECOND_IS_THIRD = re.compile(r"(up_blocks\.\d+\.(?:resnets|attentions)\.)1\.")


def teacher_name(name: str, layout: str) -> str:
    """As BK-SDM's authors copied weights, in diffusers' names."""
    if layout == "sd15" or (layout == "uneven" and name.startswith("up_blocks.2.")):
        return name  # nothing is missing there
    if layout.endswith("tiny"):
        name = re.sub(r"^up_blocks\.(\d)", lambda found: f"up_blocks.{int(found[1]) + 1}", name)
    return SECOND_IS_THIRD.sub(r"\g<1>2.", name)


@cache
def teacher(layout: str = "sd15") -> Any:
    return random_unet("sd15", **(V2 if layout.startswith("v2") else {}))


def student(layout: str) -> Any:
    """As it is before its training: the teacher's weights."""
    unet = random_unet(layout)
    weights = teacher(layout).state_dict()
    unet.load_state_dict({name: weights[teacher_name(name, layout)] for name in unet.state_dict()})
    return unet


def module_names(unet: Any) -> list[str]:
    """What LCM-LoRA has: every linear layer and convolution of the blocks."""
    import torch

    kinds = (torch.nn.Linear, torch.nn.Conv2d)
    return [
        name
        for name, module in unet.named_modules()
        if isinstance(module, kinds) and ("_blocks" in name or name.startswith("mid_block"))
    ]


def lora_for(unet: Any, seed: int = 3) -> dict[str, Any]:
    """In the form of kohya's trainer, which LCM-LoRA has too."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    lora: dict[str, Any] = {}
    for name in module_names(unet):
        shape = unet.get_submodule(name).weight.shape
        key = f"lora_unet_{name.replace('.', '_')}"
        lora[f"{key}.lora_down.weight"] = torch.randn(RANK, *shape[1:], generator=generator) / 10
        lora[f"{key}.lora_up.weight"] = torch.randn(
            shape[0], RANK, *[1] * (len(shape) - 2), generator=generator
        )
        lora[f"{key}.alpha"] = torch.tensor(1.0)
    return lora


def merged(unet: Any, lora: dict[str, Any], layout: str | None) -> Any:
    """The UNet with the LoRA added by hand; `layout` of a student that is given the teacher's."""
    import torch

    weights = unet.state_dict()
    for name in module_names(unet):
        source = name if layout is None else teacher_name(f"{name}.", layout)[:-1]
        key = f"lora_unet_{source.replace('.', '_')}"
        down, up = lora[f"{key}.lora_down.weight"], lora[f"{key}.lora_up.weight"]
        weight = weights[f"{name}.weight"]
        change = (up.flatten(1) @ down.flatten(1)).reshape(weight.shape) / RANK
        weights[f"{name}.weight"] = weight + STRENGTH * change
    unet.load_state_dict(weights)
    assert isinstance(unet, torch.nn.Module)
    return unet


def patched_weights(model: Any) -> dict[str, Any]:
    """What the UNet's weights are once ComfyUI has loaded it."""
    import comfy.lora

    weights = model.model.state_dict()
    return {
        key: comfy.lora.calculate_weight(model.patches[key], value.clone(), key)
        if key in model.patches
        else value
        for key, value in weights.items()
    }


def saved(path: Path, lora: dict[str, Any]) -> Path:
    from safetensors.torch import save_file

    save_file(lora, path)
    return path


def same(model: Any, unet: Any) -> None:
    import torch

    expected = model_of(unet).model.state_dict()
    found = patched_weights(model)
    assert found.keys() == expected.keys()
    for key in expected:
        torch.testing.assert_close(found[key], expected[key], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layout", MODULES)
def test_each_module_lands_on_the_layer_made_from_its_own(layout: str) -> None:
    from comfyui_tandem.engine.sampling.lora import apply_lora

    lora, unet = lora_for(teacher(layout)), student(layout)
    assert len(module_names(teacher(layout))) == 278
    model = model_of(unet)
    patched, clip, told = apply_lora(model, None, lora, STRENGTH, 1.0)
    assert (told.unet, told.skipped, told.text) == (MODULES[layout], 278 - MODULES[layout], 0)
    assert told.moved == MOVED[layout]
    assert clip is None and not model.patches
    same(patched, merged(unet, lora, layout))


def test_by_names_48_of_bases_modules_are_wrong() -> None:
    """What ComfyUI's own loader does: what the test above would see of it."""
    import comfy.sd
    import torch

    lora, unet = lora_for(teacher()), student("base")
    by_name, _ = comfy.sd.load_lora_for_models(foreign(unet), None, lora, STRENGTH, 0.0)
    right = model_of(merged(unet, lora, "base")).model.state_dict()
    found = patched_weights(by_name)
    wrong = [key for key in right if not torch.allclose(found[key], right[key], atol=1e-5)]
    assert len(wrong) == 48 + 4  # and four of another shape, which it drops


@pytest.mark.parametrize("layout", ["base", "tiny", "uneven"])
def test_a_lora_trained_on_the_compact_unet_itself_goes_by_names(layout: str) -> None:
    from comfyui_tandem.engine.sampling.lora import apply_lora

    unet = random_unet(layout)
    lora = lora_for(unet)
    patched, _, told = apply_lora(model_of(unet), None, lora, STRENGTH, 1.0)
    count = len(module_names(unet))
    assert (told.unet, told.moved, told.skipped) == (count, 0, 0)
    assert str(told) == f"{count} of {count} modules applied, all where their names say"
    same(patched, merged(unet, lora, None))


def test_it_fits_a_compact_model_of_another_loader_too() -> None:
    from comfyui_tandem.engine.sampling.lora import apply_lora

    lora, unet = lora_for(teacher()), student("small")
    patched, _, told = apply_lora(foreign(unet), None, lora, STRENGTH, 1.0)
    assert told.unet == MODULES["small"]
    expected = model_of(merged(unet, lora, "small")).model.state_dict()
    found = patched_weights(patched)
    assert all((found[key] - expected[key]).abs().max() < 1e-5 for key in expected)


def test_positions_of_the_file_say_where_blocks_came_from() -> None:
    from comfyui_tandem.engine.sampling.compact_unet import build_unet
    from comfyui_tandem.engine.sampling.origins import origins

    positions = (0, 1, 3, 5, 6, 7, 9, 11)
    model = build_unet(random_unet("base").state_dict(), heads=8, positions=positions)
    found = origins(model.clone())
    assert [found["input", block][1] for block in range(8)] == list(positions)
    assert [found["output", block][1] for block in range(8)] == [0, 2, 4, 5, 6, 8, 10, 11]


@pytest.mark.parametrize("layout", ["sd15", "tiny"])
def test_lcm_lora_samples_as_if_it_were_merged(layout: str) -> None:
    from comfyui_tandem.engine.sampling.lcm import lcm_model
    from comfyui_tandem.engine.sampling.lora import apply_lora

    lora, unet = lora_for(teacher()), student(layout)
    patched, _, _ = apply_lora(model_of(unet), None, lora, STRENGTH, 1.0)
    run = {"steps": 4, "cfg": 1.0, "sampler": "lcm", "scheduler": "simple"}
    plain = sample(lcm_model(model_of(unet), 1.0), conditioning(), conditioning(1), **run)
    found = sample(lcm_model(patched, 1.0), conditioning(), conditioning(1), **run)
    whole = model_of(merged(unet, lora, layout))
    expected = sample(lcm_model(whole, 1.0), conditioning(), conditioning(1), **run)
    assert (found - expected).norm() < 1e-5 * expected.norm()
    assert (plain - expected).norm() > 0.01 * expected.norm()


def test_a_lora_of_another_kind_is_refused() -> None:
    import torch
    from comfyui_tandem.engine.errors import BadInput
    from comfyui_tandem.engine.sampling.lora import apply_lora

    model = model_of(student("base"))
    with pytest.raises(BadInput, match="choose one made for"):
        apply_lora(model, None, {"lora_unet_strange.lora_up.weight": torch.zeros(1, 1)}, 1.0, 1.0)
    wide = lora_for(random_unet("sd15", cross_attention_dim=128))
    with pytest.raises(BadInput, match=r"another shape than .*attn2\.to_"):
        apply_lora(model, None, wide, 1.0, 1.0)


def test_a_model_of_another_kind_is_refused() -> None:
    import torch
    from comfyui_tandem.engine.errors import BadInput
    from comfyui_tandem.engine.sampling.lora import apply_lora

    model = model_of(random_unet("tiny"))
    model.model.diffusion_model = torch.nn.Identity()
    with pytest.raises(BadInput, match=r"one of SD1\.5's kind"):
        apply_lora(model, None, lora_for(teacher()), 1.0, 1.0)


def test_a_lora_of_lost_blocks_alone_changes_nothing() -> None:
    from comfyui_tandem.engine.sampling.lora import apply_lora

    middle = {key: value for key, value in lora_for(teacher()).items() if "mid_block" in key}
    patched, _, told = apply_lora(model_of(student("tiny")), None, middle, 1.0, 1.0)
    assert not patched.patches
    assert str(told) == "0 of 18 modules applied; 18 skipped, of blocks that this model lost"


def test_the_node_shows_what_was_applied_and_changes_the_text_encoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import folder_paths
    import torch
    from comfy.sd import CLIP
    from comfy.sd1_clip import SD1ClipModel, SD1Tokenizer
    from comfyui_tandem.engine.errors import BadInput
    from comfyui_tandem.nodes.models import LoadLora

    class Target:
        clip, tokenizer, params = SD1ClipModel, SD1Tokenizer, {}

    clip = CLIP(Target())
    lora = lora_for(teacher())
    text = "lora_te_text_model_encoder_layers_0_mlp_fc1"
    lora[f"{text}.lora_down.weight"] = torch.randn(RANK, 768)
    lora[f"{text}.lora_up.weight"] = torch.randn(3072, RANK)
    saved(tmp_path / "style.safetensors", lora)
    kinds = folder_paths.supported_pt_extensions
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "loras", ([str(tmp_path)], kinds))
    monkeypatch.setattr(folder_paths, "filename_list_cache", {})
    model = model_of(student("base"))
    patched, encoder, summary = LoadLora.execute(model, "style.safetensors", 1.0, clip).result
    assert summary == (
        "178 of 278 modules applied: 126 where their names say, 52 by origin; "
        "100 skipped, of blocks that this model lost; 1 of the text encoder"
    )
    assert encoder.patcher.patches and not clip.patcher.patches
    assert len(patched.patches) == 178 and not model.patches
    assert LoadLora.execute(model, "none", 1.0).result == (model, None, "no LoRA")
    with pytest.raises(BadInput, match="choose one of none"):
        LoadLora.execute(model, "../style.safetensors", 1.0)
