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
COMPARED_BY = ("distill-tiny", "lcm-tiny", "lcm-direct", "lcm-self")
MEMBERS = ("base", "lcm", "lcm-tiny", "tiny")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Folder of a smoke run of every stage, as the trainer's setting."""
    import torch
    from comfyui_tandem.cli import main
    from comfyui_tandem.training.run import Setting

    folder = tmp_path_factory.mktemp("family")
    with torch.enable_grad():
        for stage in ("all", *COMPARED_BY, "export"):
            assert main(["train", stage, "--smoke", "--folder", str(folder)]) == 0
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


@pytest.mark.parametrize("name", MEMBERS)
def test_members_open_by_name_and_equal_the_trainers(trained: Any, name: str) -> None:
    import torch
    from comfyui_tandem.engine.control.fit import fitted
    from comfyui_tandem.engine.control.positions import fit_of
    from comfyui_tandem.engine.sampling.family import load_family
    from comfyui_tandem.engine.sampling.family_files import unet_members
    from comfyui_tandem.training.files import open_unet
    from comfyui_tandem.training.students import encoder_outputs, kept_positions

    folder = trained.folder / "demo_models"
    assert unet_members(folder) == list(MEMBERS)
    model, own = load_family(folder, name)[0], open_unet(folder, name)
    x, context = torch.randn(2, 4, 16, 16), torch.randn(2, 77, 128)
    times = torch.tensor([800, 30])
    found = model.model.diffusion_model(x, times.float(), context=context)
    assert (found - own(x, times, context).sample).abs().max() < 1e-5
    fit = fitted(model)
    assert fit == fit_of(model.model.diffusion_model)
    assert fit.positions == kept_positions(encoder_outputs(own))


@pytest.fixture
def shipped(trained: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The smoke run's files in place of the shipped ones, as far as ComfyUI is told of them."""
    import folder_paths
    from comfyui_tandem.nodes import model_folders, models

    folder = trained.folder / "demo_models"
    for module in (model_folders, models):
        monkeypatch.setattr(module, "FAMILY", folder)
    for place in ("controlnet", "vae_approx"):
        monkeypatch.setitem(folder_paths.folder_names_and_paths, place, ([], {".safetensors"}))
    monkeypatch.setattr(folder_paths, "filename_list_cache", {})
    model_folders.offer_family_files()
    return folder


def test_members_that_are_there_are_listed_and_sampled(shipped: Path) -> None:
    import folder_paths
    import torch
    from comfyui_tandem.engine.errors import BadInput
    from comfyui_tandem.nodes.fast import FastSampler
    from comfyui_tandem.nodes.models import LoadCompactModel

    [choice] = LoadCompactModel.define_schema().inputs
    names = [f"demo-{member}" for member in MEMBERS]
    assert choice.options[: 1 + len(names)] == ["demo", *names]
    nets = folder_paths.get_filename_list("controlnet")
    assert "tandem_demo_compact_edge.safetensors" in nets
    model, clip, vae, *_ = LoadCompactModel.execute("demo-lcm").result
    positive = clip.encode_from_tokens_scheduled(clip.tokenize("a red cube"))
    latent, decoder, summary, *_ = FastSampler.execute(
        model, positive, {"samples": torch.zeros(1, 4, 16, 16)}, vae, seed=1, steps=2, cfg=1.0,
        guidance=8.0, denoise=1.0, decoder="tiny",
    ).result  # fmt: skip
    assert summary.startswith("2 steps of lcm, cfg 1, tiny decoder")
    assert decoder.decode(latent["samples"]).shape == (1, 128, 128, 3)
    with pytest.raises(BadInput, match="demo-base"):
        LoadCompactModel.execute("demo-lcm-direct")


def test_what_is_only_compared_is_no_member(trained: Any) -> None:
    from comfyui_tandem.training.files import open_unet

    there = {path.name for path in (trained.folder / "compared").iterdir()}
    assert there == {"unet_lcm-direct.safetensors", "unet_lcm-self.safetensors"}
    assert len(open_unet(trained.folder / "compared", "lcm-direct").up_blocks) == 4


def test_the_tiny_decoder_equals_the_trainers(trained: Any) -> None:
    import torch
    from comfyui_tandem.engine.sampling.family import load_family
    from comfyui_tandem.engine.sampling.family_files import DECODER, decoder_file
    from comfyui_tandem.engine.sampling.tiny_decoder import load_tiny_decoder
    from comfyui_tandem.training.files import open_tiny_decoder

    folder = trained.folder / "demo_models"
    latent_format = load_family(folder)[0].get_model_object("latent_format")
    assert latent_format.taesd_decoder_name == DECODER
    vae = load_tiny_decoder(decoder_file(folder), latent_format)
    latents = torch.randn(2, 4, 16, 16)
    expected = open_tiny_decoder(folder)(latents)  # untrained: mostly far below black
    shown = vae.first_stage_model.decode(latents / 0.18215)
    assert (shown - expected).abs().max() < 1e-4
    assert expected.std() > 1e-3


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
@pytest.mark.parametrize("compact", [False, True])
def test_control_nets_open_in_the_stock_loader(
    trained: Any, own: Any, kind: str, compact: bool
) -> None:
    import comfy.controlnet
    import torch
    from comfyui_tandem.training.files import open_compact_control_net, open_control_net

    folder = trained.folder / "demo_models"
    net = open_compact_control_net(kind, folder) if compact else open_control_net(own, kind, folder)
    name = f"tandem_demo_{'compact_' if compact else ''}{kind}.safetensors"
    path = folder / "controlnet" / name
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
    assert not (tmp_path / "compared").exists()
    files = [*sorted(shipped.rglob("*.safetensors")), trained.folder / "shipped_judge.safetensors"]
    assert len(files) == 3 + len(MEMBERS) + 2 * len(KINDS) + 2
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
