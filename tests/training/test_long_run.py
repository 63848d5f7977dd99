"""A run counted in steps: what it keeps, when, and what stops it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from comfyui_tandem.engine.errors import BadInput
from comfyui_tandem.training import long_run
from comfyui_tandem.training.averages import save, start_average
from comfyui_tandem.training.long_run import Fixed, LongRun
from comfyui_tandem.training.run import Setting, load_metadata
from torch import Tensor
from torch.nn import Linear

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def still() -> None:
    torch.manual_seed(0)
    torch.set_grad_enabled(True)


def a_run(folder: Path, **more: Any) -> LongRun:
    options: dict[str, Any] = {"rate": 0.1, "hold": 1.0, "warm_up": 4, "total": 10, "batch": 3}
    return LongRun(Setting(folder, 0.0, CPU), "own", **(options | more))


def learn(run: LongRun, layer: Linear, *losses: Tensor) -> None:
    run.learn(torch.optim.SGD(layer.parameters(), lr=1.0), [*layer.parameters()], losses)


def test_a_step_learns_from_all_its_batches(tmp_path: Path) -> None:
    run, layer = a_run(tmp_path, accumulate=2), Linear(1, 1, bias=False)
    before = layer.weight.detach().clone()
    learn(run, layer, layer.weight.sum() * 0.2, layer.weight.sum() * 0.6)
    torch.testing.assert_close(layer.weight.detach(), before - 0.1 / 4 * 0.4)  # the first of four
    assert run.samples == 6


def test_every_call_warms_up(tmp_path: Path) -> None:
    run, layer = a_run(tmp_path), Linear(1, 1)
    average = start_average(run, layer, 0.9, young=True)
    rates = [run.learning_rate() for _ in run.steps()]
    assert rates == pytest.approx([0.025, 0.05, 0.075] + [0.1] * 7)
    save(run, layer, average)
    again = a_run(tmp_path, total=16)
    start_average(again, layer, 0.9, young=True)
    assert again.step == 10
    rates = [again.learning_rate() for _ in again.steps()]
    assert rates == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1, 0.1])


def test_steps_are_kept_whatever_a_step_learns_from(tmp_path: Path) -> None:
    run, layer = a_run(tmp_path), Linear(1, 1)
    average = start_average(run, layer, 0.9, young=True)
    for _ in run.steps():
        learn(run, layer, layer.weight.sum())
    save(run, layer, average)
    again = a_run(tmp_path, batch=7, accumulate=5, total=12)
    start_average(again, layer, 0.9, young=True)
    assert (again.step, again.samples) == (10, 30)
    assert len([*again.steps()]) == 2


def test_another_teacher_or_guidance_is_refused(tmp_path: Path) -> None:
    def of(teacher: str) -> tuple[Fixed, ...]:
        return (Fixed("teacher", teacher, "--model"), Fixed("guidance", "7.5", "--guidance"))

    run, layer = a_run(tmp_path, fixed=of("a")), Linear(1, 1)
    save(run, layer, start_average(run, layer, 0.9, young=True))
    assert load_metadata(tmp_path / "own.safetensors").items() >= {
        "teacher": "a", "guidance": "7.5", "steps": "0",
    }.items()  # fmt: skip
    start_average(a_run(tmp_path, fixed=of("a")), layer, 0.9, young=True)
    told = r"teacher of own\.safetensors is 'a': give the --model .* move .*own\.safetensors away"
    with pytest.raises(BadInput, match=told):
        start_average(a_run(tmp_path, fixed=of("b")), layer, 0.9, young=True)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_before_it_is_learnt(
    tmp_path: Path, precision: str, value: float
) -> None:
    run, layer = a_run(tmp_path, accumulate=2, precision=precision), Linear(1, 1)
    before = [parameter.detach().clone() for parameter in layer.parameters()]
    with pytest.raises(BadInput, match=f"loss at step 0 is {value}: go on with a smaller --rate"):
        learn(run, layer, layer.weight.sum(), layer.weight.sum() + value)
    assert all(torch.equal(a, b) for a, b in zip(before, layer.parameters(), strict=True))
    assert run.samples == 0


class Overflow(torch.autograd.Function):
    """Finite, its gradient is not."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad * math.inf


def test_gradients_that_overflow_are_left_out_in_fp16_and_stop_fp32(tmp_path: Path) -> None:
    layer = Linear(1, 1)
    before = layer.weight.detach().clone()
    run = a_run(tmp_path, precision="fp16")
    scale = run.scaler.get_scale()
    learn(run, layer, Overflow.apply(layer.weight).sum())
    assert torch.equal(layer.weight, before) and run.scaler.get_scale() == scale / 2
    learn(run, layer, layer.weight.sum())
    torch.testing.assert_close(layer.weight.detach(), before - 0.1 / 4)
    before = layer.weight.detach().clone()
    with pytest.raises(BadInput, match=r"norm of the gradients at step 0 is (inf|nan)"):
        learn(a_run(tmp_path), layer, Overflow.apply(layer.weight).sum())
    assert torch.equal(layer.weight, before)


def test_it_is_saved_by_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(long_run.time, "monotonic", lambda: now)
    run = a_run(tmp_path)
    run.saved = now
    assert not run.due_to_save()
    now += long_run.SAVE_EVERY_S + 1
    assert run.due_to_save() and not run.due_to_save()
