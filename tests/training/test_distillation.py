"""Students start from the right parts of their teacher, and are asked for the right things."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from comfyui_tandem.cli import main
from comfyui_tandem.training.diffusion import weighted_loss
from comfyui_tandem.training.distillation import Watched, shares_missed, taught_loss
from comfyui_tandem.training.generate import Control, encoded_once
from comfyui_tandem.training.libraries import ControlNetModel
from comfyui_tandem.training.stages import STAGES
from comfyui_tandem.training.students import (
    control_start,
    encoder_outputs,
    feature_pairs,
    kept_positions,
    kept_residuals,
    pruned,
)
from comfyui_tandem.training.tiny_decoder import build_tiny_decoder, from_taesd, to_taesd
from comfyui_tandem.training.train_compact_control import pruned_control_net
from comfyui_tandem.training.train_control import HINT_WIDTHS
from comfyui_tandem.training.train_tiny_decoder import crops
from comfyui_tandem.training.unet import build_unet
from torch import Tensor
from torch.nn import Module
from torch.nn.functional import interpolate

WIDTHS = (64, 128, 256, 256)  # unlike, so that a wrong part has a wrong shape
LAYOUTS = {"base": 8, "small": 8, "tiny": 6}


@pytest.fixture(autouse=True)
def still() -> None:
    torch.manual_seed(0)
    torch.set_grad_enabled(True)


@pytest.fixture(scope="module")
def teacher() -> Any:
    torch.manual_seed(0)
    return build_unet("full", WIDTHS).eval().requires_grad_(False)


def student(teacher: Any, layout: str) -> Any:
    made = build_unet(layout, WIDTHS).eval()
    made.load_state_dict(pruned(teacher.state_dict(), made.state_dict()))
    return made


def given() -> tuple[Tensor, Tensor, Tensor]:
    return torch.randn(2, 4, 16, 16), torch.tensor([900, 40]), torch.randn(2, 77, 128)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_student_starts_from_its_teachers_parts(teacher: Any, layout: str) -> None:
    own, full = student(teacher, layout).state_dict(), teacher.state_dict()
    lost = int(layout == "tiny")
    same = {
        "down_blocks.1.resnets.0.conv1.weight": "down_blocks.1.resnets.0.conv1.weight",
        "up_blocks.1.resnets.0.conv1.weight": f"up_blocks.{1 + lost}.resnets.0.conv1.weight",
        "up_blocks.1.resnets.1.conv1.weight": f"up_blocks.{1 + lost}.resnets.2.conv1.weight",
        "up_blocks.1.attentions.1.proj_out.weight": (
            f"up_blocks.{1 + lost}.attentions.2.proj_out.weight"
        ),
        "up_blocks.0.upsamplers.0.conv.weight": f"up_blocks.{lost}.upsamplers.0.conv.weight",
        "time_embedding.linear_1.weight": "time_embedding.linear_1.weight",
    }
    for ours, theirs in same.items():
        assert torch.equal(own[ours], full[theirs]), ours


@torch.no_grad()
@pytest.mark.parametrize("layout", LAYOUTS)
def test_features_are_compared_at_the_same_places(teacher: Any, layout: str) -> None:
    own = student(teacher, layout)
    ours, theirs = zip(*feature_pairs(layout), strict=True)
    watched = Watched(own, ours), Watched(teacher, theirs)
    x = given()
    own(*x), teacher(*x)
    found, wanted = (each.outputs() for each in watched)
    assert len(found) == (6 if layout == "tiny" else 8)
    assert [a.shape for a in found] == [b.shape for b in wanted]
    assert shares_missed(found, found) == 0
    assert 0 < shares_missed(found, wanted) < 5


def test_what_is_missed_is_a_share_of_what_was_wanted() -> None:
    loud, quiet = torch.full((2, 3), 50.0), torch.full((4,), 0.5)
    nothing = [torch.zeros_like(loud), torch.zeros_like(quiet)]
    assert shares_missed(nothing, [loud, quiet]) == pytest.approx(1.0)
    assert shares_missed([loud, nothing[1]], [loud, quiet]) == pytest.approx(0.5)
    assert shares_missed([torch.full((2,), 0.01)], [torch.zeros(2)]) == pytest.approx(0.1)


def test_the_task_the_teacher_and_the_features_are_added() -> None:
    out, noise, taught = torch.randn(3, 2, 4, 8, 8)
    times = torch.tensor([10, 900])
    found = taught_loss(out, noise, taught, times, torch.tensor(0.25))
    parts = [weighted_loss(out, wanted, times, 0.1) for wanted in (noise, taught)]
    assert found == pytest.approx(float(sum(parts)) + 0.25)


def random_control_net(unet: Any) -> Any:
    net = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=HINT_WIDTHS)
    for conv in (*net.controlnet_down_blocks, net.controlnet_mid_block):
        torch.nn.init.normal_(conv.weight, std=0.05)
    return net.eval()


@torch.no_grad()
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_student_reads_the_residuals_of_its_places(teacher: Any, layout: str) -> None:
    own = student(teacher, layout)
    outputs = encoder_outputs(own)
    assert (outputs, encoder_outputs(teacher)) == (LAYOUTS[layout], 12)
    x, times, context = given()
    net = random_control_net(teacher)
    hint = torch.rand(2, 3, 128, 128)
    down, middle = net(x, times, context, controlnet_cond=hint, return_dict=False)
    kept, deepest = kept_residuals(down, middle, outputs)
    assert all(kept[at] is down[place] for at, place in enumerate(kept_positions(outputs)))
    options = {"down_block_additional_residuals": kept, "mid_block_additional_residual": deepest}
    steered, plain = own(x, times, context, **options).sample, own(x, times, context).sample
    assert (steered - plain).abs().max() > 1e-3
    assert kept_residuals(kept, deepest, outputs) == (kept, deepest)  # it was made for the student


def test_a_compact_control_net_starts_from_what_the_student_reads(teacher: Any) -> None:
    full = random_control_net(teacher).state_dict()
    base = student(teacher, "base")
    own = ControlNetModel.from_unet(base, conditioning_embedding_out_channels=HINT_WIDTHS)
    start = control_start(full, own.state_dict())
    own.load_state_dict(start)
    for at, place in enumerate((0, 2, 3, 5, 6, 8, 9, 11)):
        wanted = full[f"controlnet_down_blocks.{place}.weight"]
        assert torch.equal(start[f"controlnet_down_blocks.{at}.weight"], wanted)


def test_a_compact_control_nets_hint_encoder_stays() -> None:
    full = build_unet("full").requires_grad_(False)
    net = pruned_control_net(build_unet("base"), random_control_net(full))
    still = {name for name, value in net.named_parameters() if not value.requires_grad}
    assert still == {
        name for name, _ in net.named_parameters() if name.startswith("controlnet_cond_embedding.")
    }


def test_watching_keeps_a_down_blocks_feature_without_its_skips() -> None:
    class Down(Module):
        def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
            return x + 1, (x, x)

    network = Module()
    network.part = Down()
    watched = Watched(network, ["part"])
    network.part(torch.zeros(1))
    assert watched.outputs() == [torch.ones(1)]


def test_a_tiny_decoders_keys_come_back() -> None:
    weights = build_tiny_decoder().state_dict()
    taesd = to_taesd(weights)
    assert taesd["1.weight"].shape == (64, 4, 3, 3) and "3.conv.0.weight" in taesd
    back = from_taesd(taesd)
    assert back.keys() == weights.keys()
    assert all(torch.equal(back[key], weights[key]) for key in weights)


def test_crops_of_latents_and_pictures_are_of_one_place() -> None:
    latents = torch.rand(6, 3, 16, 16)
    z, x = crops(latents, interpolate(latents, scale_factor=8))
    assert z.shape == (6, 3, 8, 8)
    assert torch.equal(x, interpolate(z, scale_factor=8))
    assert len({float(part[0, 0, 0]) for part in z}) > 1


def test_all_makes_the_family_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    monkeypatch.setattr(
        "comfyui_tandem.cli.train.run_stage", lambda name, *_, **__: made.append(name)
    )
    assert main(["train", "all", "--folder", str(tmp_path)]) == 0
    left = set(STAGES) - set(made)
    assert left == {"adopt", "distill-tiny", "lcm-tiny", "lcm-direct", "lcm-self"}
    order = ["full", "control-pose", "distill-base", "lcm", "compact-control-pose", "export"]
    assert [name for name in made if name in order] == order


def test_tiny_reads_of_a_compact_net_what_it_would_of_a_full_one() -> None:
    full, middle = [torch.full((1,), float(place)) for place in range(12)], torch.ones(1)
    compact, _ = kept_residuals(full, middle, 8)
    assert kept_residuals(compact, middle, 6)[0] == kept_residuals(full, middle, 6)[0]


def test_a_full_unet_gets_nothing_where_a_compact_net_has_nothing(teacher: Any) -> None:
    residuals, middle = [torch.full((1,), float(place)) for place in range(12)], torch.ones(1)
    compact, _ = kept_residuals(residuals, middle, 8)
    filled, deepest = kept_residuals(compact, middle, 12)
    assert deepest is middle
    assert [float(one) for one in filled] == [0, 0, 2, 3, 0, 5, 6, 0, 8, 9, 0, 11]


@torch.no_grad()
def test_hints_that_are_encoded_once_steer_as_before(teacher: Any) -> None:
    net = random_control_net(teacher)
    calls: list[int] = []
    net.controlnet_cond_embedding.register_forward_hook(lambda *_: calls.append(1))
    hints = torch.rand(2, 3, 128, 128)
    once = encoded_once(Control(net, hints, 0.5))
    given = torch.randn(4, 4, 16, 16), torch.tensor([9, 99, 999, 500]), torch.randn(4, 77, 128)
    shown = hints.repeat(2, 1, 1, 1)
    for _ in range(3):
        found = once.net(*given, controlnet_cond=shown, return_dict=False)
    assert len(calls) == 1
    expected = net(*given, controlnet_cond=shown, return_dict=False)
    assert len(calls) == 2, "the net that was given is as it was"
    for a, b in zip((*found[0], found[1]), (*expected[0], expected[1]), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)
