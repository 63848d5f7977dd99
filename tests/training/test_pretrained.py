"""`tandem distill` from a model's folder and captioned pictures to a file that loads."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from comfyui_tandem.cli import main
from comfyui_tandem.engine.sampling.unet_layout import to_ldm
from comfyui_tandem.training import train_pretrained
from comfyui_tandem.training.averages import averaged
from comfyui_tandem.training.distillation import bk_loss
from comfyui_tandem.training.libraries import UNet2DConditionModel
from comfyui_tandem.training.pairs import Pairs
from comfyui_tandem.training.pretrained import Pretrained, student_of
from comfyui_tandem.training.run import load_weights
from safetensors.torch import load_file
from torch.nn.functional import mse_loss

from .distilling import CONTEXT, HEADS, run, write_teacher


@pytest.fixture(autouse=True)
def still() -> None:
    torch.manual_seed(0)
    torch.set_grad_enabled(True)


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


def test_a_call_with_nothing_to_do_says_how_far_it_is(
    teacher: Path, encoded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = begun(tmp_path, encoded)
    assert run("student", teacher, tmp_path, *options, "--steps", "2") == 0
    before = load_weights(tmp_path / "models" / "bk_tiny.safetensors")
    (tmp_path / "models" / "bk_tiny.safetensors").unlink()
    assert "nothing left" not in capsys.readouterr().out
    assert run("student", teacher, tmp_path, *options, "--steps", "1") == 0
    assert "bk_tiny: nothing left to do, 2 steps were made" in capsys.readouterr().out
    after = load_weights(tmp_path / "models" / "bk_tiny.safetensors")
    assert all(torch.equal(after[0][key], value) for key, value in before[0].items())
    assert after[1]["steps"] == "2"


def begun(folder: Path, encoded: Path) -> tuple[str, ...]:
    """Options of a quick course on pairs that are encoded."""
    (folder / "pairs").symlink_to(encoded / "pairs")
    return ("--layout", "tiny", "--rate", "1e-3", "--accumulate", "1")


def test_another_teacher_or_guidance_does_not_go_on(
    teacher: Path, encoded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = (*begun(tmp_path, encoded), "--steps", "1")
    assert run("student", teacher, tmp_path, *options) == 0
    assert run("lcm", teacher, tmp_path, *options, "--guidance", "5") == 0
    assert load_weights(tmp_path / "models" / "bk_tiny_lcm.safetensors")[1]["guidance"] == "5"
    capsys.readouterr()
    assert run("lcm", teacher, tmp_path, *options, "--guidance", "7.5") == 2
    told = capsys.readouterr().err
    assert "guidance of bk_tiny_lcm.safetensors is '5': give the --guidance" in told
    (tmp_path / "other").mkdir()
    other = write_teacher(tmp_path / "other", seed=1)
    for stage in ("student", "lcm"):
        assert run(stage, other, tmp_path, *options, "--guidance", "5") == 2
        assert "give the --model it was begun with" in capsys.readouterr().err


def test_what_was_learnt_is_kept_when_it_is_stopped(
    teacher: Path, encoded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = begun(tmp_path, encoded)
    losses = iter([None, None, KeyboardInterrupt])

    def stopped(*given: Any) -> torch.Tensor:
        if (error := next(losses)) is not None:
            raise error
        return bk_loss(*given)

    monkeypatch.setattr(train_pretrained, "bk_loss", stopped)
    assert run("student", teacher, tmp_path, *options, "--steps", "9") == 130
    weights, told = load_weights(tmp_path / "bk_tiny.safetensors")
    assert (told["steps"], told["samples"]) == ("2", "4")
    start = student_of(Pretrained(teacher, torch.device("cpu")).unet(), "tiny").state_dict()
    assert any(not torch.equal(weights[key], value) for key, value in start.items())
    assert not (tmp_path / "models").exists()


def test_a_student_without_averages_is_refused(
    teacher: Path, encoded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file that is made to be used, copied in place of the trainer's own."""
    options = (*begun(tmp_path, encoded), "--steps", "1")
    assert run("student", teacher, tmp_path, *options) == 0
    (tmp_path / "models" / "bk_tiny.safetensors").rename(tmp_path / "bk_tiny.safetensors")
    capsys.readouterr()
    for stage in ("lcm", "student"):
        assert run(stage, teacher, tmp_path, *options) == 2
        assert "put the trainer's own file there" in capsys.readouterr().err


def test_the_default_precision_learns_the_same(
    teacher: Path, encoded: Path, tmp_path: Path
) -> None:
    """fp16, its gradients scaled: both phases, as far as a CPU computes in it."""
    moved: list[dict[str, torch.Tensor]] = []
    for precision in ((), ("--precision", "fp32")):
        folder = tmp_path / "-".join(("in", *precision))
        folder.mkdir()
        given = ("--model", str(teacher), "--folder", str(folder), "--device", "cpu")
        options = (*begun(folder, encoded), "--batch", "2", "--steps", "1", *precision)
        for stage in ("student", "lcm"):
            assert main(["distill", stage, *given, *options]) == 0
        now = [load_weights(folder / f"bk_tiny{end}.safetensors")[0] for end in ("", "_lcm")]
        start = student_of(Pretrained(teacher, torch.device("cpu")).unet(), "tiny").state_dict()
        moved += [
            {key: now[0][key] - value for key, value in start.items()},
            {key: now[1][key] - averaged(now[0])[key] for key in start},
        ]
    for half, whole in zip(moved[:2], moved[2:], strict=True):
        key = "down_blocks.2.attentions.0.proj_out.weight"
        assert half[key].dtype == torch.float32 and whole[key].abs().max() > 0
        assert (half[key] * whole[key]).sum() / whole[key].norm() ** 2 > 0.5


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
    schedule.write_text("{")
    with pytest.raises(BadInput, match=r"scheduler_config\.json"):
        Pretrained(tmp_path, torch.device("cpu"))


def test_a_teacher_that_cannot_be_read_is_told_of(teacher: Path, tmp_path: Path) -> None:
    from comfyui_tandem.engine.errors import BadInput

    own = Path(shutil.copytree(teacher, tmp_path / "own"))
    model, unet = Pretrained(own, torch.device("cpu")), own / "unet"
    weights = unet / "diffusion_pytorch_model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:1000])
    with pytest.raises(BadInput, match="whole files"):
        model.unet()
    weights.unlink()
    with pytest.raises(BadInput, match="whole files"):
        model.unet()
    (unet / "diffusion_pytorch_model.fp16.safetensors").write_bytes(whole)
    with pytest.raises(BadInput, match='variant="fp16"'):
        model.unet()
    for part, read in (("text_encoder", model.text), ("vae", model.vae)):
        (file,) = (own / part).glob("*.safetensors")
        file.rename(file.with_suffix(".fp16.safetensors"))
        with pytest.raises(BadInput, match='variant="fp16"'):
            read()
    (own / "tokenizer" / "vocab.json").write_text("{")
    with pytest.raises(BadInput, match="tokenizer"):
        model.tokenizer()


def test_a_teacher_for_inpainting_is_refused(teacher: Path, tmp_path: Path) -> None:
    from comfyui_tandem.engine.errors import BadInput

    for part in ("text_encoder", "tokenizer", "vae"):
        (tmp_path / part).mkdir()
    usual = Pretrained(teacher, torch.device("cpu")).unet().config
    config = {key: value for key, value in usual.items() if not key.startswith("_")}
    other = UNet2DConditionModel.from_config(config | {"in_channels": 9})
    other.save_pretrained(tmp_path / "unet")
    with pytest.raises(BadInput, match=r"in_channels is 9: .*not one for inpainting"):
        Pretrained(tmp_path, torch.device("cpu")).unet()


def test_without_a_gpu_it_says_what_that_means(
    teacher: Path, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    given = ("--model", str(teacher), "--folder", str(tmp_path), "--pairs", str(pairs))
    for more, said in (((), True), (("--device", "cpu"), False)):
        assert main(["distill", "pairs", *given, "--px", "64", *more]) == 0
        assert ("takes days" in capsys.readouterr().out) == said
