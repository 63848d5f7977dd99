"""What the example "compact LCM with three ControlNets" wires runs on any compact folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.comfy
GRAPH = Path(__file__).parents[1] / "graphs" / "compact_lcm.json"
HEAD_WIDTH = 64  # the demo's
SIDE = 16  # of its latents


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A pipeline of BK-SDM Tiny's layout in models/diffusers, random, of the demo's widths."""
    import folder_paths
    import torch
    from comfyui_tandem.engine.sampling.family import load_family
    from comfyui_tandem.nodes.model_folders import FAMILY
    from diffusers import UNet2DConditionModel

    demo: Any = load_family(FAMILY)[0].model
    widths = [demo.diffusion_model.model_channels * m for m in demo.diffusion_model.channel_mult]
    torch.manual_seed(0)
    UNet2DConditionModel(
        block_out_channels=widths[:3],
        down_block_types=["CrossAttnDownBlock2D"] * 3,
        up_block_types=["CrossAttnUpBlock2D"] * 3,
        mid_block_type=None,
        layers_per_block=1,
        attention_head_dim=[width // HEAD_WIDTH for width in widths[:3]],
        cross_attention_dim=demo.model_config.unet_config["context_dim"],
        use_linear_projection=demo.model_config.unet_config["use_linear_in_transformer"],
    ).save_pretrained(tmp_path / "compact" / "unet")
    monkeypatch.setitem(
        folder_paths.folder_names_and_paths, "diffusers", ([str(tmp_path)], {"folder"})
    )
    return "compact"


def test_its_nodes_run_on_a_compact_folder(folder: str, caplog: pytest.LogCaptureFixture) -> None:
    import comfy.controlnet
    import numpy as np
    import torch
    from comfyui_tandem.engine.conditions import Condition, ConditionRequest, Hint, Photo
    from comfyui_tandem.nodes.fast import FastSampler
    from comfyui_tandem.nodes.model_folders import FAMILY
    from comfyui_tandem.nodes.models import FitControlNet, LatentConsistency, LoadCompactModel

    graph = json.loads(GRAPH.read_text())
    given = {
        form["class_type"]: {k: v for k, v in form["inputs"].items() if not isinstance(v, list)}
        for form in graph.values()
    }
    names = [
        form["inputs"]["control_net_name"]
        for form in graph.values()
        if form["class_type"] == "ControlNetLoader"
    ]
    assert len(names) == 3
    model, _, _, summary = LoadCompactModel.execute(folder).result
    assert "9 of 16 attentions, 145 of 276 modules" in summary  # its widths need fewer shortcuts
    _, clip, vae, _ = LoadCompactModel.execute("demo").result  # a UNet alone is in the folder
    prompt = clip.encode_from_tokens_scheduled(clip.tokenize("a red cube"))
    photo = (Photo(np.zeros((SIDE * 8, SIDE * 8, 3), np.uint8)),)
    picture = np.tile(np.arange(SIDE * 8, dtype=np.uint8), (SIDE * 8, 1))
    hints = [
        Hint(
            Condition(
                ConditionRequest("ready", resolution=SIDE * 8, strength=0.5),
                photo,
                comfy.controlnet.load_controlnet(str(FAMILY / "controlnet" / name)),
            ),
            (picture,),
            "local",
            0.0,
        )
        for name in names
    ]
    fitted = FitControlNet.execute(model).result[0]
    lcm = LatentConsistency.execute(fitted, **given["TandemLCM"]).result[0]
    latent = {"samples": torch.zeros(1, 4, SIDE, SIDE)}
    settings = {**given["TandemFastSampler"], "steps": 4}
    sides = {"positive": prompt, "negative": prompt}
    run = {"model": lcm, "latent_image": latent, "vae": vae, **sides, **settings}
    steered, _, told = FastSampler.execute(**run, hints=tuple(hints)).result
    plain = FastSampler.execute(**run).result[0]["samples"]
    assert torch.isfinite(steered["samples"]).all()
    assert (steered["samples"] - plain).norm() > 0.01 * plain.norm()
    assert "could not be applied" not in caplog.text
    assert told.count("acts on steps 1 to 4") == 3
