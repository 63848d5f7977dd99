"""`tandem distill` from a model's folder and captioned pictures to a file that loads."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import pytest
import torch
from comfyui_tandem.cli import main
from comfyui_tandem.engine.sampling.unet_layout import to_ldm
from comfyui_tandem.training.averages import averaged
from comfyui_tandem.training.distillation import bk_loss
from comfyui_tandem.training.libraries import (
    AutoencoderKL,
    CLIPTextConfig,
    CLIPTextModel,
    UNet2DConditionModel,
)
from comfyui_tandem.training.pairs import Pairs
from comfyui_tandem.training.pretrained import Pretrained, student_of
from comfyui_tandem.training.run import load_weights
from comfyui_tandem.training.unet import blocks_of
from PIL import Image, ImageDraw
from safetensors.torch import load_file
from torch.nn.functional import mse_loss

WIDTHS, CONTEXT, HEADS = (32, 64, 64, 64), 32, 8
SHAPES = {"a red ball": "red", "a blue ball": "blue", "a green ball": "green", "a ball": "white"}


@pytest.fixture(autouse=True)
def still() -> None:
    torch.manual_seed(0)
    torch.set_grad_enabled(True)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline's folder like SD1.5's, narrow, with random weights."""
    folder = tmp_path_factory.mktemp("teacher")
    torch.manual_seed(0)
    UNet2DConditionModel(
        sample_size=8, block_out_channels=WIDTHS, attention_head_dim=HEADS,
        cross_attention_dim=CONTEXT, **blocks_of("full"),
    ).save_pretrained(folder / "unet")  # fmt: skip
    config = folder / "unet" / "config.json"  # older ones do not say what is usual
    told = json.loads(config.read_text())
    config.write_text(json.dumps({k: v for k, v in told.items() if k != "mid_block_type"}))
    letters = [*string.ascii_lowercase, *(f"{letter}</w>" for letter in string.ascii_lowercase)]
    tokens = [*letters, "ab", "<|startoftext|>", "<|endoftext|>"]
    words = {word: number for number, word in enumerate(tokens)}
    tokenizer = folder / "tokenizer"
    tokenizer.mkdir()
    (tokenizer / "vocab.json").write_text(json.dumps(words))
    (tokenizer / "merges.txt").write_text("#version: 0.2\na b\n")
    kind = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77}
    (tokenizer / "tokenizer_config.json").write_text(json.dumps(kind))
    CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(words), hidden_size=CONTEXT, intermediate_size=64,
            num_hidden_layers=1, num_attention_heads=2,
        )
    ).save_pretrained(folder / "text_encoder")  # fmt: skip
    AutoencoderKL(
        block_out_channels=(16,) * 4, down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4, norm_num_groups=8, layers_per_block=1,
    ).save_pretrained(folder / "vae")  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four drawn pictures with captions, of unlike sizes, one in a folder; one without."""
    folder = tmp_path_factory.mktemp("pairs")
    (folder / "more").mkdir()
    for number, (caption, colour) in enumerate(SHAPES.items()):
        image = Image.new("RGB", (80 + 20 * number, 100), "black")
        ImageDraw.Draw(image).ellipse([20, 20, 70, 70], fill=colour)
        path = folder / ("more" if number == 3 else ".") / f"{number}.png"
        image.save(path)
        path.with_suffix(".txt").write_text(f"{caption}\n")
    Image.new("RGB", (64, 64)).save(folder / "nothing_said.png")
    return folder


def run(stage: str, teacher: Path, folder: Path, *more: str) -> int:
    given = ("--model", str(teacher), "--folder", str(folder), "--device", "cpu")
    few = () if stage == "pairs" else ("--batch", "2", "--precision", "fp32")
    return main(["distill", stage, *given, *few, *more])


@pytest.fixture(scope="module")
def encoded(teacher: Path, pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("distilled")
    assert run("pairs", teacher, folder, "--pairs", str(pairs), "--px", "64") == 0
    return folder


def test_pairs_are_encoded_once_and_drawn_without_end(
    teacher: Path, pairs: Path, encoded: Path
) -> None:
    [file] = (encoded / "pairs").glob("[0-9]*.safetensors")
    shard, before = load_file(file), file.stat().st_mtime_ns
    assert shard["moments"].shape == (4, 8, 8, 8) and shard["context"].shape == (4, 77, CONTEXT)
    model = Pretrained(teacher, torch.device("cpu"))
    tokens = model.tokenizer()(
        "a red ball", padding="max_length", max_length=77, return_tensors="pt"
    )
    expected = model.text()(tokens.input_ids).last_hidden_state[0]
    torch.testing.assert_close(shard["context"][0].float(), expected, atol=2e-3, rtol=2e-3)
    run("pairs", teacher, encoded, "--pairs", str(pairs), "--px", "64")
    assert file.stat().st_mtime_ns == before
    drawn = Pairs(encoded / "pairs", torch.device("cpu")).batches(3, seed=0)
    contexts = torch.cat([next(drawn)[1] for _ in range(4)])
    counts = [int((contexts == own.float()).all((1, 2)).sum()) for own in shard["context"]]
    assert counts == [3, 3, 3, 3], "twelve draws are three times everything"


@pytest.mark.parametrize("layout", ["base", "tiny"])
def test_both_phases_run_resume_and_leave_a_compact_model(
    layout: str, teacher: Path, encoded: Path, tmp_path: Path
) -> None:
    (tmp_path / "pairs").symlink_to(encoded / "pairs")
    options = ("--layout", layout, "--accumulate", "2", "--rate", "1e-3")
    for name, stage in ((f"bk_{layout}", "student"), (f"bk_{layout}_lcm", "lcm")):
        assert run(stage, teacher, tmp_path, *options, "--steps", "2") == 0
        first, told = load_weights(tmp_path / f"{name}.safetensors")
        assert told["samples"] == "8"
        assert run(stage, teacher, tmp_path, *options, "--steps", "2") == 0  # nothing is left
        assert load_weights(tmp_path / f"{name}.safetensors")[1]["samples"] == "8"
        assert run(stage, teacher, tmp_path, *options, "--steps", "3") == 0
        now, told = load_weights(tmp_path / f"{name}.safetensors")
        assert told["samples"] == "12"
        assert any(not torch.equal(now[key], first[key]) for key in now)
        made, told = load_weights(tmp_path / "models" / f"{name}.safetensors")
        assert (told["heads"], told["prediction_type"]) == (str(HEADS), "epsilon")
        for key, value in averaged(now).items():
            torch.testing.assert_close(made[key].float(), value, atol=1e-3, rtol=1e-3)
        _, found = to_ldm(made)
        assert found.resnets == (1,) * (3 if layout == "tiny" else 4)


def test_checkpointing_and_half_precision_learn_the_same(
    teacher: Path, encoded: Path, tmp_path: Path
) -> None:
    """On a CPU bfloat16 stands for what a GPU would compute in."""
    made: list[dict[str, Any]] = []
    for name, more in (("plain", ()), ("lean", ("--checkpointing",)), ("half", ("bf16",))):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "pairs").symlink_to(encoded / "pairs")
        given = ("--precision", *more) if name == "half" else more
        rate = ("--rate", "1e-3", "--accumulate", "1", "--steps", "1", "--layout", "tiny")
        assert run("student", teacher, folder, *rate, *given) == 0
        made.append(load_weights(folder / "bk_tiny.safetensors")[0])
    plain, lean, half = made
    start = student_of(Pretrained(teacher, torch.device("cpu")).unet(), "tiny").state_dict()
    key = "down_blocks.2.attentions.0.proj_out.weight"  # whose output is compared on the way
    moved = plain[key] - start[key]
    assert moved.abs().max() > 0
    torch.testing.assert_close(lean[key], plain[key], atol=1e-7, rtol=1e-5)
    assert (half[key] - start[key]).dtype == torch.float32
    agree = ((half[key] - start[key]) * moved).sum() / moved.norm() ** 2
    assert agree > 0.5


def test_the_published_loss_is_a_sum_of_squared_errors() -> None:
    out, noise, taught, a, b = torch.randn(5, 2, 4)
    expected = mse_loss(out, noise) + mse_loss(out, taught) + mse_loss(a, b) + mse_loss(b, a)
    torch.testing.assert_close(bk_loss(out, noise, taught, [a, b], [b, a]), expected)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("pairs", "--folder", "x", "--model", "{teacher}"), "--pairs"),
        (("pairs", "--folder", "x", "--model", "{file}", "--pairs", "."), "save_pretrained"),
        (("pairs", "--folder", "x", "--model", "{teacher}", "--pairs", "{empty}"), ".txt"),
        (("student", "--folder", "x", "--model", "{empty}"), "unet"),
        (("student", "--folder", "x", "--model", "{teacher}", "--px", "100"), "multiple"),
        (("student", "--folder", "x", "--model", "{teacher}"), "stage pairs first"),
        (("lcm", "--folder", "x", "--model", "{teacher}"), "run the stage that makes it"),
        (("lcm", "--folder", "x", "--model", "{teacher}", "--batch", "0"), "more than 0"),
        (("lcm", "--folder", "x", "--model", "{teacher}", "--guidance", "0"), "1 or more"),
    ],
)
def test_what_is_wrong_is_told(
    given: tuple[str, ...], told: str, teacher: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.safetensors").touch()
    places = {"teacher": teacher, "empty": "empty", "file": "file.safetensors"}
    assert main(["distill", *(one.format(**places) for one in given)]) == 2
    assert told in capsys.readouterr().err


def test_a_teacher_of_another_kind_is_refused(teacher: Path, tmp_path: Path) -> None:
    from comfyui_tandem.engine.errors import BadInput

    for part in ("unet", "text_encoder", "tokenizer", "vae"):
        (tmp_path / part).mkdir()
    (tmp_path / "scheduler").mkdir()
    schedule = tmp_path / "scheduler" / "scheduler_config.json"
    schedule.write_text(json.dumps({"prediction_type": "v_prediction"}))
    with pytest.raises(BadInput, match="prediction_type is 'v_prediction'"):
        Pretrained(tmp_path, torch.device("cpu"))
    schedule.write_text("{}")
    student = student_of(Pretrained(teacher, torch.device("cpu")).unet(), "base")
    student.save_pretrained(tmp_path / "unet")
    with pytest.raises(BadInput, match="layers_per_block"):
        Pretrained(tmp_path, torch.device("cpu")).unet()
