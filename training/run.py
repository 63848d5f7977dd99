"""One run of a trainer: its CPU budget, learning rate, loss log and weights."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..engine.errors import Unavailable

SAVE_EVERY_S, LOG_EVERY_S = 120.0, 30.0
SMOKE_STEPS = 2


@dataclass(frozen=True, slots=True)
class Setting:
    """What the command line says: where, how long, on what. `smoke`: two steps, nothing learnt."""

    folder: Path
    minutes: float
    device: torch.device
    smoke: bool = False

    def weights(self, name: str) -> Path:
        return self.folder / f"{name}.safetensors"


@dataclass(slots=True)
class Run:
    """The steps of one call. Resumes from weights alone: the optimiser starts afresh and warms up.

    Time is the process' CPU time, so that a busy machine costs patience, not quality.
    """

    setting: Setting
    name: str
    rate: float
    hold: float = 0.0  # share of the budget at full rate, before it falls
    floor: float = 0.02
    warm_up: int = 50
    step: int = 0
    samples: int = 0
    earlier_s: float = 0.0
    loss: float = math.nan
    started: float = field(default_factory=time.process_time)
    saved: float = field(default_factory=time.process_time)
    logged: float = field(default_factory=time.process_time)

    @property
    def spent_s(self) -> float:
        return time.process_time() - self.started

    @property
    def made(self) -> int:
        """Steps of this call."""
        return self.step

    @property
    def share(self) -> float:
        return min(1.0, self.spent_s / (60 * self.setting.minutes))

    def steps(self) -> Iterator[int]:
        """Step numbers until the budget is spent; logs on the way."""
        while True:
            if self.setting.smoke and self.step >= SMOKE_STEPS:
                return
            if not self.setting.smoke and self.share >= 1:
                return
            yield self.step
            self.step += 1
            if time.process_time() - self.logged > LOG_EVERY_S:
                self.log()

    def due_to_save(self) -> bool:
        due = time.process_time() - self.saved > SAVE_EVERY_S
        if due:
            self.saved = time.process_time()
        return due

    def learning_rate(self) -> float:
        """Linear warm-up, `hold` of the budget at full rate, then a cosine down to `floor`."""
        fall = max(0.0, (self.share - self.hold) / max(1e-9, 1 - self.hold))
        cosine = self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * fall))
        return self.rate * min(1.0, (self.made + 1) / self.warm_up) * cosine

    def update(
        self,
        optimiser: torch.optim.Optimizer,
        parameters: Iterable[torch.nn.Parameter],
        loss: Tensor,
        count: int,
    ) -> None:
        """One optimiser step for the loss of `count` samples."""
        for group in optimiser.param_groups:
            group["lr"] = self.learning_rate()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        self.samples += count
        self.note(float(loss.detach()))

    def note(self, loss: float) -> None:
        """What is logged is smoothed."""
        self.loss = loss if math.isnan(self.loss) else 0.98 * self.loss + 0.02 * loss

    def log(self, **figures: Any) -> None:
        """One line for a person and the same as JSON in `<name>.log.jsonl`."""
        self.logged = time.process_time()
        row = {
            "step": self.step,
            "cpu_s": round(self.earlier_s + self.spent_s, 1),
            "samples": self.samples,
            **({} if math.isnan(self.loss) else {"loss": round(self.loss, 5)}),
            **figures,
        }
        print(f"{self.name}: {row}", flush=True)  # noqa: T201  progress for a person
        with (self.setting.folder / f"{self.name}.log.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")

    def save(self, tensors: dict[str, Tensor], name: str = "") -> Path:
        """Weights and how far they are trained; written aside and renamed."""
        path = self.setting.weights(name or self.name)
        save_weights(path, tensors, self.done())
        return path

    def done(self) -> dict[str, str]:
        """What a file's metadata says of how far it is trained."""
        return {"cpu_s": f"{self.earlier_s + self.spent_s:.1f}", "samples": str(self.samples)}

    def resume(self, path: Path) -> dict[str, Tensor]:
        """Weights of an earlier run; this one counts on from its time and samples."""
        tensors, done = load_weights(path)
        self.earlier_s, self.samples = float(done["cpu_s"]), int(done["samples"])
        return tensors


def save_weights(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    save_file({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, partial, metadata)
    partial.replace(path)


def load_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    metadata = load_metadata(path)
    return load_file(path), metadata


def load_metadata(path: Path) -> dict[str, str]:
    """Without the weights.

    Raises:
        Unavailable: there is no such file.
    """
    if not path.exists():
        raise Unavailable("file of trained weights", str(path), "run the stage that makes it first")
    with safe_open(path, "pt") as file:
        return file.metadata() or {}


class Average:
    """Exponential moving average of a module's parameters, its own copy of them."""

    def __init__(self, module: torch.nn.Module, decay: float, young: bool = True) -> None:
        self.values = {name: p.detach().clone() for name, p in module.named_parameters()}
        self.decay, self.young, self.count = decay, young, 0

    @torch.no_grad()
    def update(self, module: torch.nn.Module) -> None:
        """A young average forgets faster: the first weights are no better than chance."""
        self.count += 1
        decay = min(self.decay, (1 + self.count) / (10 + self.count)) if self.young else self.decay
        new = [parameter.detach() for _, parameter in module.named_parameters()]
        torch._foreach_lerp_(list(self.values.values()), new, 1 - decay)  # type: ignore[attr-defined]
