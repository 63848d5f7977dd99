"""Fast Sampler is the other nodes in one, and says what happens."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from .core_nodes import core_nodes
from .narrow import conditioning, foreign, random_unet
from .narrow_nets import asked, calls, control_net, hint

pytestmark = pytest.mark.comfy
RANGES = ((0.0, 1.0), (0.0, 0.5), (0.6, 1.0))


@cache
def model() -> Any:
    return foreign(random_unet("tiny"))


@cache
def net(seed: int) -> Any:
    return control_net(seed)


@pytest.fixture(scope="module", autouse=True)
def release_own() -> Iterator[None]:
    yield
    model.cache_clear()
    net.cache_clear()


@pytest.fixture(autouse=True)
def no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for tiny decoders, whatever the user has."""
    import folder_paths

    kinds = dict(folder_paths.folder_names_and_paths)
    kinds["vae_approx"] = ([str(tmp_path)], folder_paths.supported_pt_extensions)
    monkeypatch.setattr(folder_paths, "folder_names_and_paths", kinds)
    monkeypatch.setattr(folder_paths, "filename_list_cache", {})
    return tmp_path


def three() -> tuple[Any, ...]:
    return tuple(
        asked(net(seed), seed, strength=0.7, start=start, end=end)
        for seed, (start, end) in enumerate(RANGES)
    )


def latent() -> dict[str, Any]:
    import torch

    drawn = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    return {"samples": drawn, "batch_index": [4, 7], "other": "kept"}


def fast(**given: Any) -> tuple[Any, ...]:
    from comfyui_tandem.nodes.fast import FastSampler

    options: dict[str, Any] = {
        "model": model(), "positive": conditioning(), "latent_image": latent(), "vae": "its own",
        "seed": 5, "steps": 4, "cfg": 1.0, "guidance": 8.0, "denoise": 1.0, "decoder": "auto",
        "negative": conditioning(1), "hints": three(),
    }  # fmt: skip
    return FastSampler.execute(**(options | given)).result


@pytest.mark.parametrize(
    "given", [{}, {"cfg": 2.0}, {"denoise": 0.5}, {"steps": 1}], ids=lambda given: str(given)
)
def test_it_is_the_other_nodes_in_one(given: dict[str, Any]) -> None:
    import torch
    from comfyui_tandem.nodes.apply import ApplyConditions
    from comfyui_tandem.nodes.models import FitControlNet, LatentConsistency

    numbers = {"steps": 4, "cfg": 1.0, "denoise": 1.0} | given
    found, *_ = fast(**given)
    fitted = FitControlNet.execute(model()).result[0]
    lcm = LatentConsistency.execute(fitted, numbers["steps"], 8.0).result[0]
    sides = ApplyConditions.execute(conditioning(), conditioning(1), three()).result[:2]
    ksampler = core_nodes().KSampler().sample
    [expected] = ksampler(
        lcm, 5, numbers["steps"], numbers["cfg"], "lcm", "simple", *sides, latent(),
        denoise=numbers["denoise"],
    )  # fmt: skip
    assert torch.equal(found["samples"], expected["samples"])
    assert {**found, "samples": 0} == {**expected, "samples": 0}
    again, *_ = fast(model=lcm, **given)  # a model from LCM is taken as it is
    assert torch.equal(again["samples"], found["samples"])


def test_nothing_given_is_changed() -> None:
    before = latent()
    given, positive = latent(), conditioning()
    fast(latent_image=given, positive=positive)
    assert (given["samples"] == before["samples"]).all() and positive[0][1] == {}
    assert not model().wrappers.get("outer_sample") and not model().object_patches


def called_on(nets: list[Any], steps: int, **given: Any) -> tuple[list[list[int]], list[str]]:
    """On which steps each net was called, and the lines of the summary."""
    import comfy.utils

    with calls(*nets) as counts, pytest.MonkeyPatch.context() as patch:
        seen: list[list[int]] = []

        def progress(value: int, total: int, *_: Any, **__: Any) -> None:
            seen.append([count["net"] for count in counts])
            assert (value, total) == (len(seen), steps)

        patch.setattr(comfy.utils, "PROGRESS_BAR_HOOK", progress)
        _, _, summary = fast(steps=steps, **given)
    assert len(seen) == steps
    befores = [[0] * len(nets), *seen]
    acted = [
        [step for step in range(1, steps + 1) if befores[step][n] > befores[step - 1][n]]
        for n in range(len(nets))
    ]
    head, empty, *lines = summary.splitlines()
    assert empty == "" and all(line.startswith("- ") for line in lines)
    return acted, [head, *(line.removeprefix("- ") for line in lines)]


def with_net(seed: int, start: float, end: float, prompt: int = 0) -> Any:
    """A prompt with a net by the stock node."""
    node = core_nodes().ControlNetApplyAdvanced()
    return node.apply_controlnet(conditioning(prompt), [], net(seed), hint(seed), 0.5, start, end)[
        0
    ]


@pytest.mark.parametrize("steps", [2, 4, 5])
def test_the_steps_it_names_are_those_on_which_nets_were_called(steps: int) -> None:
    hints = (*three(), asked(net(4), 4, strength=0.0), asked(None, 5))
    nets = [net(seed) for seed in (3, 0, 1, 2, 4)]
    acted, [first, *lines] = called_on(nets, steps, positive=with_net(3, 0.3, 1.0), hints=hints)
    assert acted[1] == list(range(1, steps + 1)) and acted[4] == []
    assert first == f"{steps} steps of lcm, cfg 1, full decoder"
    names = ["on the prompt 1", "0:canny", "1:canny", "2:canny"]
    assert lines[:4] == [
        f"{name}: acts on {told(on)}" for name, on in zip(names, acted[:4], strict=True)
    ]
    assert lines[4:] == [
        "3:canny: left out, strength 0",
        "4:canny: left out, no ControlNet is connected",
    ]


def ranged(entry: Any, start: float, end: float) -> Any:
    return core_nodes().ConditioningSetTimestepRange().set_range(entry, start, end)[0]


@pytest.mark.parametrize("cfg", [1.0, 2.0])
def test_prompts_have_steps_of_their_own(cfg: float) -> None:
    """Both sides hold for half of the time, in pieces, with a net on each."""
    parts = ((0.0, 0.1), (0.6, 0.8))
    carrying = with_net(3, 0.0, 1.0)
    positive = [entry for part in parts for entry in ranged(carrying, *part)]
    negative = [*ranged(with_net(4, 0.0, 1.0, 1), 0.0, 0.5), *ranged(conditioning(1), 0.5, 1.0)]
    acted, [_, *lines] = called_on(
        [net(seed) for seed in (3, 4, 0, 1, 2)],
        8, positive=positive, negative=negative, cfg=cfg, hints=three(),
    )  # fmt: skip
    names = ["on the prompt 1", "on the negative prompt 1", "0:canny", "1:canny", "2:canny"]
    expected = [f"{name}: acts on {told(on)}" for name, on in zip(names, acted, strict=True)]
    if cfg == 1.0:
        expected[1] = "on the negative prompt 1: left out, cfg 1 leaves out the negative prompt"
        assert acted[1] == [] and acted[2] == acted[0]
    else:
        assert acted[1] and acted[2] == list(range(1, 9))
    assert acted[0] and acted[0] != list(range(acted[0][0], acted[0][-1] + 1))
    assert lines == expected


def test_a_net_on_both_sides_acts_where_either_prompt_does() -> None:
    both = with_net(3, 0.0, 1.0)
    sides = {"positive": ranged(both, 0.0, 0.3), "negative": ranged(both, 0.6, 1.0)}
    acted, [_, line] = called_on([net(3)], 4, **sides, cfg=2.0, hints=())
    assert line == f"on the prompt 1: acts on {told(acted[0])}"
    assert {1, 4} <= set(acted[0])


def told(steps: list[int]) -> str:
    if len(steps) < 2:
        return f"step {steps[0]}" if steps else "no step"
    if steps == list(range(steps[0], steps[-1] + 1)):
        return f"steps {steps[0]} to {steps[-1]}"
    return f"steps {', '.join(map(str, steps))}"


def test_previews_come_and_cancel_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    import comfy.utils
    import latent_preview
    import torch
    from comfy.model_management import InterruptProcessingException

    shown: list[Any] = []

    def hook(value: int, total: int, preview: Any, **_: Any) -> None:
        shown.append(preview)
        if len(shown) == 6:  # in the second run
            raise InterruptProcessingException

    method = latent_preview.LatentPreviewMethod.Latent2RGB
    monkeypatch.setattr(latent_preview.args, "preview_method", method)
    monkeypatch.setattr(comfy.utils, "PROGRESS_BAR_HOOK", hook)
    first, *_ = fast()
    assert [kind for kind, _, _ in shown] == ["JPEG"] * 4
    with pytest.raises(InterruptProcessingException):
        fast()
    assert len(shown) == 6
    again, *_ = fast()
    assert torch.equal(first["samples"], again["samples"])


def put_tiny(folder: Path) -> Any:
    """Files of both halves, as core's VAE loader wants them; returns its VAE."""
    import torch
    from comfy.taesd.taesd import TAESD
    from safetensors.torch import save_file

    torch.manual_seed(0)
    network = TAESD()
    for parameter in network.parameters():
        if parameter.ndim:
            torch.nn.init.normal_(parameter, std=0.05)
    halves = {"decoder": network.taesd_decoder, "encoder": network.taesd_encoder}
    for name, half in halves.items():
        save_file(half.state_dict(), folder / f"taesd_{name}.safetensors")
    core = core_nodes()
    return core.VAELoader().load_vae("taesd")[0]


def test_the_tiny_decoder_is_cores_and_taken_if_there(no_files: Path) -> None:
    import torch
    from comfyui_tandem.engine.errors import BadInput, Unavailable

    _, decoder, summary = fast(steps=1, hints=())
    assert decoder == "its own" and summary == "1 steps of lcm, cfg 1, full decoder"
    with pytest.raises(Unavailable, match=r"taesd_decoder\.safetensors into models/vae_approx"):
        fast(decoder="tiny")
    cores = put_tiny(no_files)
    (no_files / "taesd_encoder.safetensors").unlink()
    import folder_paths

    folder_paths.filename_list_cache.clear()
    _, kept, _ = fast(steps=1, hints=(), decoder="full")
    assert kept == "its own"
    for choice in ("auto", "tiny"):
        out, decoder, summary = fast(steps=1, hints=(), decoder=choice)
        assert "tiny decoder" in summary
        assert torch.equal(decoder.decode(out["samples"]), cores.decode(out["samples"]))
    with pytest.raises(BadInput, match="encode with the model's own"):
        decoder.encode(torch.zeros(1, 64, 64, 3))


def test_a_tiny_decoder_of_other_latents_is_not_taken(no_files: Path) -> None:
    from comfyui_tandem.engine.errors import Unavailable
    from comfyui_tandem.engine.sampling.family import load_family
    from comfyui_tandem.nodes.fast import _decoder
    from comfyui_tandem.nodes.model_folders import FAMILY

    put_tiny(no_files)
    without = shutil.ignore_patterns("vae_approx", "controlnet")
    folder = shutil.copytree(FAMILY, no_files / "family", ignore=without)
    latents = load_family(folder)[0].get_model_object("latent_format")
    assert _decoder("auto", latents, "its own") == ("its own", "full")
    with pytest.raises(Unavailable, match="choose full"):
        _decoder("tiny", latents, "its own")


def test_a_file_that_is_no_tiny_decoder_is_refused(no_files: Path) -> None:
    import torch
    from comfyui_tandem.engine.errors import Unavailable
    from safetensors.torch import save_file

    save_file({"other": torch.zeros(1)}, no_files / "taesd_decoder.safetensors")
    with pytest.raises(Unavailable, match="TAESD's layout"):
        fast(steps=1)


def test_attentions_of_sd15_act_on_the_layers_made_from_theirs() -> None:
    import torch
    from comfyui_tandem.nodes.models import FitControlNet

    def patched(base: Any) -> Any:
        other = base.clone()
        other.set_model_attn2_replace(lambda q, k, v, options: q * 0.5, "input", 4)
        return other

    fitted = patched(FitControlNet.execute(model()).result[0])
    found, expected = (fast(model=one)[0]["samples"] for one in (patched(model()), fitted))
    assert torch.equal(found, expected)
    assert not torch.equal(found, fast()[0]["samples"])


def test_a_piece_of_too_many_steps_is_refused() -> None:
    from comfyui_tandem.engine.errors import BadInput

    with pytest.raises(BadInput, match=r"give at least 0\.08 with 4 steps"):
        fast(denoise=0.05)


def test_cfg_needs_a_negative_prompt() -> None:
    from comfyui_tandem.engine.errors import BadInput

    with pytest.raises(BadInput, match="set cfg to 1"):
        fast(cfg=2.0, negative=None)
    with pytest.raises(BadInput, match="choose one of auto, tiny, full"):
        fast(decoder="best")
    assert fast(negative=None, steps=1)[0]["samples"].shape == (2, 4, 8, 8)
