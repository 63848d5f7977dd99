"""A run counted in optimiser steps: on a GPU the process' CPU time says nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, amp
from torch.nn import Parameter

from .run import Run

SAVE_EVERY = 1000  # steps
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(slots=True)
class LongRun(Run):
    """A step learns from `accumulate` batches; networks compute in `precision`, weights stay fp32.

    Resumes as any run; how many steps were made follows from the samples.
    """

    total: int = 0  # steps, with those of earlier calls
    batch: int = 1
    accumulate: int = 1
    precision: str = "fp32"  # one of `DTYPES`
    scaler: Any = field(init=False)  # keeps fp16's gradients from vanishing

    def __post_init__(self) -> None:
        half = self.precision == "fp16"
        self.scaler = torch.amp.GradScaler(self.setting.device.type, enabled=half)

    @property
    def share(self) -> float:
        return self.step / self.total

    def due_to_save(self) -> bool:
        return (self.step + 1) % SAVE_EVERY == 0

    def resume(self, path: Path) -> dict[str, Tensor]:
        tensors = Run.resume(self, path)
        self.step = self.samples // (self.batch * self.accumulate)
        return tensors

    def mixed(self) -> AbstractContextManager[Any]:
        """A context for the networks' forward passes."""
        if self.precision == "fp32":
            return nullcontext()
        return amp.autocast(self.setting.device.type, DTYPES[self.precision])

    def learn(
        self,
        optimiser: torch.optim.Optimizer,
        parameters: Sequence[Parameter],
        losses: Iterable[Tensor],
    ) -> None:
        """One optimiser step; `losses` of as many batches as a step learns from, one by one."""
        for group in optimiser.param_groups:
            group["lr"] = self.learning_rate()
        optimiser.zero_grad()
        for loss in losses:
            self.scaler.scale(loss / self.accumulate).backward()
            self.samples += self.batch
            self.note(float(loss.detach()))
        self.scaler.unscale_(optimiser)
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        self.scaler.step(optimiser)
        self.scaler.update()
