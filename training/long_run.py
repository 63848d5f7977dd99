"""A run counted in optimiser steps: on a GPU the process' CPU time says nothing."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, amp
from torch.nn import Parameter

from ..engine.errors import BadInput
from .run import Run, load_metadata

SAVE_EVERY_S = 900.0  # by the clock: what a crash may cost
STEPS = "steps"  # key of a file's metadata
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True, slots=True)
class Fixed:
    """What must be the same in every call of a run; `option`: what a person gives it by."""

    key: str  # of a file's metadata
    value: str
    option: str


@dataclass(slots=True)
class LongRun(Run):
    """A step learns from `accumulate` batches; networks compute in `precision`, weights stay fp32.

    total: steps, with those of earlier calls, which made `earlier`.
    """

    total: int = 0
    batch: int = 1
    accumulate: int = 1
    precision: str = "fp32"  # one of `DTYPES`
    fixed: tuple[Fixed, ...] = ()
    earlier: int = 0
    saved: float = field(default_factory=time.monotonic)
    scaler: Any = field(init=False)  # keeps fp16's gradients from vanishing

    def __post_init__(self) -> None:
        half = self.precision == "fp16"
        self.scaler = torch.amp.GradScaler(self.setting.device.type, enabled=half)

    @property
    def made(self) -> int:
        return self.step - self.earlier

    @property
    def share(self) -> float:
        return self.step / self.total

    def due_to_save(self) -> bool:
        due = time.monotonic() - self.saved > SAVE_EVERY_S
        if due:
            self.saved = time.monotonic()
        return due

    def done(self) -> dict[str, str]:
        return {**Run.done(self), STEPS: str(self.step)} | {
            one.key: one.value for one in self.fixed
        }

    def resume(self, path: Path) -> dict[str, Tensor]:
        """As any run's.

        Raises:
            BadInput: it was made of something else than this call would go on with.
        """
        told = load_metadata(path)
        for one in self.fixed:
            if told.get(one.key) != one.value:
                do = f"give the {one.option} it was begun with, this one makes {one.value}"
                do += f"; or move {path} away to begin anew"
                raise BadInput(f"{one.key} of {path.name}", told.get(one.key), do)
        tensors = Run.resume(self, path)
        self.step = self.earlier = int(told[STEPS])
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
        """One optimiser step; `losses` of as many batches as a step learns from, one by one.

        Raises:
            BadInput: a loss or gradient is not finite; nothing was learnt from it. Gradients of
                fp16 may be: then the scaler leaves the step out.
        """
        for group in optimiser.param_groups:
            group["lr"] = self.learning_rate()
        optimiser.zero_grad()
        samples = 0
        for loss in losses:
            value = float(loss.detach())
            self._check("loss", value)
            self.scaler.scale(loss / self.accumulate).backward()
            samples += self.batch
            self.note(value)
        self.scaler.unscale_(optimiser)
        norm = torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        if not self.scaler.is_enabled():
            self._check("norm of the gradients", float(norm))
        self.scaler.step(optimiser)
        self.scaler.update()
        self.samples += samples

    def _check(self, what: str, value: float) -> None:
        if not math.isfinite(value):
            do = "go on with a smaller --rate"
            if self.precision == "fp16":
                do += ", or with --precision bf16 or fp32"
            raise BadInput(f"{what} at step {self.step}", value, f"{do}; earlier steps are kept")
