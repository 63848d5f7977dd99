"""The family's files open in core and compute what the trainer's own modules compute.

Every stage runs here in its smoke form: two steps, so the weights are no good, but all are there.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.comfy
KINDS = ("edge", "depth", "seg", "pose")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Folder of a smoke run of every stage, as the trainer's setting."""
    import torch
    from comfyui_tandem.cli import main
    from comfyui_tandem.training.run import Setting

    folder = tmp_path_factory.mktemp("family")
    assert main(["train", "all", "--smoke", "--folder", str(folder)]) == 0
    return Setting(folder, 1.0, torch.device("cpu"))


@pytest.fixture(scope="session")
def family(trained: Any) -> tuple[Any, Any, Any]:
    from comfyui_tandem.engine.sampling.family import load_family

    return load_family(trained.folder / "demo_models")


@pytest.fixture(scope="session")
def own(trained: Any) -> Any:
    """The same files as the trainer's own modules."""
    from comfyui_tandem.training.files import open_family

    return open_family(trained.folder / "demo_models")


@pytest.fixture(autouse=True)
def no_gradients() -> Any:
    import torch

    with torch.no_grad():
        yield


def test_unet_equals_the_trainers(own: Any, family: Any) -> None:
    import torch

    x, context = torch.randn(2, 4, 16, 16), torch.randn(2, 77, 128)
    times = torch.tensor([800, 30])
    expected = own.unet(x, times, context).sample
    found = family[0].model.diffusion_model(x, times.float(), context=context)
    assert (found - expected).abs().max() < 1e-5


def test_text_equals_the_trainers_with_any_punctuation(own: Any, family: Any) -> None:
    import torch
    from comfyui_tandem.training.text import encode
    from comfyui_tandem.training.words import token_rows

    said = "a photo of a large red ball on the left, a small white figure waving, in a meadow"
    rows = torch.tensor([token_rows(tuple(said.replace(",", " ,").split()))])
    clip = family[1]
    found = clip.encode_from_tokens(clip.tokenize(said))
    assert (found - encode(own.text, rows)).abs().max() < 1e-5


def test_vae_equals_the_trainers(own: Any, family: Any) -> None:
    from comfyui_tandem.training.render import render
    from comfyui_tandem.training.scenes import sample_scenes

    model, picture = own.autoencoder, render(sample_scenes(2, seed=9)).picture
    latents = model.moments(picture * 2 - 1)[0]
    found = family[2].encode(picture.movedim(1, -1)) * 0.18215
    assert (found - latents).abs().max() < 1e-4
    shown = family[2].decode(latents / 0.18215).movedim(-1, 1)
    expected = (model.decode(latents).clamp(-1, 1) + 1) / 2
    assert (shown - expected).abs().max() < 1e-4


@pytest.mark.parametrize("kind", KINDS)
def test_control_nets_open_in_the_stock_loader(trained: Any, own: Any, kind: str) -> None:
    import comfy.controlnet
    import torch
    from comfyui_tandem.training.files import open_control_net

    net = open_control_net(own, kind, trained.folder / "demo_models")
    path = trained.folder / "demo_models" / "controlnet" / f"tandem_demo_{kind}.safetensors"
    stock = comfy.controlnet.load_controlnet(str(path)).control_model.float()
    x, context = torch.randn(1, 4, 16, 16), torch.randn(1, 77, 128)
    times, hint = torch.tensor([400]), torch.rand(1, 3, 128, 128)
    down, middle = net(x, times, context, controlnet_cond=hint, return_dict=False)
    found = stock(x=x, hint=hint, timesteps=times.float(), context=context)
    pairs = [*zip(found["output"], down, strict=True), (found["middle"][0], middle)]
    assert max(float((a - b).abs().max()) for a, b in pairs) < 1e-5


def test_what_was_exported_comes_back_to_train_on(trained: Any, tmp_path: Path) -> None:
    """Adopting undoes exporting to the bit, in every file."""
    import torch
    from comfyui_tandem.training import export
    from comfyui_tandem.training.adopt import adopt
    from comfyui_tandem.training.run import Setting, load_weights

    shipped = trained.folder / "demo_models"
    again = Setting(tmp_path, 1.0, torch.device("cpu"), smoke=True)
    adopt(again, shipped, trained.folder / "shipped_judge.safetensors")
    export.train(again)
    files = [*sorted(shipped.rglob("*.safetensors")), trained.folder / "shipped_judge.safetensors"]
    assert len(files) == 3 + len(KINDS) + 1
    for path in files:
        expected, told = load_weights(path)
        found, retold = load_weights(tmp_path / path.relative_to(trained.folder))
        assert retold == told
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[key], expected[key]) for key in expected), path.name


def test_training_goes_on_from_the_shipped_files(tmp_path: Path) -> None:
    import json

    import torch
    from comfyui_tandem.cli import main
    from comfyui_tandem.training.files import SHIPPED
    from comfyui_tandem.training.run import load_weights

    with torch.enable_grad():
        for stage in ("adopt", "scenes", "latents", "full"):
            assert main(["train", stage, "--smoke", "--folder", str(tmp_path)]) == 0
    told = load_weights(SHIPPED / "unet.safetensors")[1]
    row = json.loads((tmp_path / "unet_full.log.jsonl").read_text().splitlines()[-1])
    assert row["samples"] == int(told["samples"]) + 2 * 16
    assert row["x0_error"][1] < 0.35  # of a trained net; a new one starts at 1


def test_unknown_words_are_named_once(family: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        family[1].tokenize("a red ball on the left")
        assert not caplog.records
        family[1].tokenize("a red dragon and a dragon on the xylophonist, (glowing:1.2)")
    assert "never learnt dragon, xylophonist, glowing." in caplog.text
    assert "meadow" in caplog.text


def test_every_word_of_the_vocabulary_is_one_token() -> None:
    from comfyui_tandem.engine.sampling.vocabulary import WORD_END, core_tokens
    from comfyui_tandem.training.words import VOCABULARY

    tokens = core_tokens()
    assert [word for word in VOCABULARY[3:] if word + WORD_END not in tokens] == []


def test_a_missing_file_and_a_broken_one_are_named(tmp_path: Path) -> None:
    from comfyui_tandem.engine.errors import Unavailable
    from comfyui_tandem.engine.sampling.family import load_family

    with pytest.raises(Unavailable, match=r"unet\.safetensors"):
        load_family(tmp_path)
    (tmp_path / "unet.safetensors").write_bytes(b"nothing")
    with pytest.raises(Unavailable, match="fetch it anew"):
        load_family(tmp_path)


def test_growing_changes_no_output() -> None:
    import torch
    from comfyui_tandem.training.students import pruned
    from comfyui_tandem.training.unet import build_unet, grown

    torch.manual_seed(0)
    small = build_unet("stem").eval()
    x, context = torch.randn(1, 4, 16, 16), torch.randn(1, 77, 128)
    times = torch.tensor([500])
    expected = small(x, times, context).sample
    weights = small.state_dict()
    for layout in ("base", "full"):
        unet = build_unet(layout).eval()
        weights = grown(weights, unet.state_dict())
        unet.load_state_dict(weights)
        assert torch.equal(unet(x, times, context).sample, expected)
    back = build_unet("base").eval()
    back.load_state_dict(pruned(weights, back.state_dict()))
    assert (back(x, times, context).sample - expected).abs().max() < 1e-6
