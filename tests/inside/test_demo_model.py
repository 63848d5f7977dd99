"""The shipped family in core: it draws what is said, keeps to hints, and is small."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.comfy
ROOT = Path(__file__).resolve().parents[2]
FAMILY = ROOT / "demo_models"
MOST_BYTES = 60_000_000
COUNT, STEPS = 16, 12
HINTED, LEAST_GAIN = 4, 0.05


@pytest.fixture(scope="module")
def parts() -> tuple[Any, Any, Any]:
    from comfyui_tandem.nodes.models import DEMO, LoadCompactModel

    *made, summary = LoadCompactModel.execute(DEMO).result
    assert summary == "full UNet: ControlNets fit as they are"
    return tuple(made)


def drawn(parts: tuple[Any, Any, Any], words: tuple[str, ...], control: Any = None) -> Any:
    """[1, 3, 128, 128] by core's own sampler."""
    import comfy.sample
    import torch

    model, clip, vae = parts
    positive = clip.encode_from_tokens_scheduled(clip.tokenize(" ".join(words)))
    negative = clip.encode_from_tokens_scheduled(clip.tokenize(""))
    if control is not None:
        positive, negative = control(positive, negative)
    latent = torch.zeros(1, 4, 16, 16)
    latents = comfy.sample.sample(
        model, comfy.sample.prepare_noise(latent, 5), STEPS, 3.0, "dpmpp_2m", "normal",
        positive, negative, latent, disable_pbar=True, seed=5,
    )  # fmt: skip
    return vae.decode(latents).movedim(-1, 1)


def test_it_draws_what_is_said(parts: tuple[Any, Any, Any]) -> None:
    import torch
    from comfyui_tandem.training.captions import caption
    from comfyui_tandem.training.files import open_judge
    from comfyui_tandem.training.judge import adherence, read
    from comfyui_tandem.training.scenes import sample_scenes

    scenes = sample_scenes(COUNT, 77)
    told = [caption(scenes, row, 77) for row in range(COUNT)]
    pictures = torch.cat([drawn(parts, each.words) for each in told])
    found = adherence(read(open_judge(), pictures), told)
    assert sum(found["scene"]) / len(found["scene"]) > 0.85
    assert sum(found["colour"]) / len(found["colour"]) > 0.7


@pytest.fixture(scope="module")
def hinted(parts: tuple[Any, Any, Any]) -> Any:
    """Scenes with a figure, and how well pictures without hints keep to each kind."""
    import torch
    from comfyui_tandem.benchmarks.demo_hints import hinted_scenes, scores
    from comfyui_tandem.training.files import open_judge

    case, judge = hinted_scenes(HINTED, 78), open_judge()
    plain = torch.cat([drawn(parts, words) for words in case.words])
    return case, judge, scores(judge, case, plain)


@pytest.mark.parametrize("kind", ["edge", "depth", "seg", "pose"])
def test_a_shipped_net_opens_in_core_and_steers(
    parts: tuple[Any, Any, Any], hinted: Any, kind: str
) -> None:
    import comfy.controlnet
    import numpy as np
    import torch
    from comfyui_tandem.benchmarks.demo_hints import scores

    case, judge, without = hinted
    file = FAMILY / "controlnet" / f"tandem_demo_{kind}.safetensors"
    net = comfy.controlnet.load_controlnet(str(file))
    pictures = []
    for words, hint in zip(case.words, case.hints(kind), strict=True):

        def control(positive: Any, negative: Any, hint: Any = hint) -> Any:
            """As core's ControlNetApplyAdvanced does it."""
            held = net.copy().set_cond_hint(hint[None], 1.0, (0.0, 1.0))
            more = {"control": held, "control_apply_to_uncond": False}
            return [[[each[0], each[1] | more] for each in side] for side in (positive, negative)]

        pictures.append(drawn(parts, words, control))
    given = scores(judge, case, torch.cat(pictures))
    measured = "seg" if kind == "depth" else kind  # a few scenes' correlation is mostly chance
    assert np.nanmean(given[measured]) > np.nanmean(without[measured]) + LEAST_GAIN


def test_every_file_is_small_and_tells_its_licence() -> None:
    from safetensors import safe_open

    files = sorted(FAMILY.rglob("*.safetensors"))
    assert len(files) >= 3
    assert sum(path.stat().st_size for path in files) < MOST_BYTES
    for path in files:
        with safe_open(path, "pt") as file:
            assert file.metadata()["licence"] == "Apache-2.0"


def test_the_stock_loader_lists_the_nets() -> None:
    import folder_paths
    from comfyui_tandem.nodes.model_folders import offer_family_files

    offer_family_files()
    listed = folder_paths.get_filename_list("controlnet")
    assert {path.name for path in (FAMILY / "controlnet").glob("*.safetensors")} <= set(listed)
