"""One way to sample: seconds and MACs of its first step and of each further one, and its calls.

A first step is dearer: the run is set up, and hints are encoded. A run of n steps takes the first
and n - 1 further ones.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from .comfy_modules import KEPT  # isort: skip

import comfy.sample
import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

__all__ = ["KEPT"]
Result = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Way:
    """What to sample with, on a square latent."""

    model: ModelPatcher
    positive: Any
    negative: Any
    latent: int
    cfg: float
    sampler: str
    scheduler: str

    def run(self, steps: int, after: Callable[[], None] = lambda: None) -> Tensor:
        start = torch.zeros(1, 4, self.latent, self.latent)
        noise = comfy.sample.prepare_noise(start, 1)
        return comfy.sample.sample(
            self.model, noise, steps, self.cfg, self.sampler, self.scheduler, self.positive,
            self.negative, start, callback=lambda *_: after(), disable_pbar=True, seed=1,
        )  # fmt: skip

    def seconds(self, steps: int = 2) -> list[float]:
        """Of each step, the first with all that goes before it."""
        stamps = [time.perf_counter()]
        self.run(steps, lambda: stamps.append(time.perf_counter()))
        return [after - before for before, after in itertools.pairwise(stamps)]

    def gmacs(self) -> list[float]:
        """Of the first and of a further step."""
        stamps = [0]
        with FlopCounterMode(display=False) as counter:
            self.run(2, lambda: stamps.append(counter.get_total_flops()))
        return [(after - before) / 2e9 for before, after in itertools.pairwise(stamps)]


def measured(ways: Mapping[str, Way], rounds: int) -> dict[str, Result]:
    """Counted once, which warms up, then timed in turns, there and back: drift hits all alike."""
    gmacs = {name: way.gmacs() for name, way in ways.items()}
    timed: dict[str, list[list[float]]] = {name: [] for name in ways}
    for number in range(rounds):
        for name in list(ways)[:: -1 if number % 2 else 1]:
            timed[name].append(ways[name].seconds())
    return {
        name: {
            "gmacs": gmacs[name],
            "s": [statistics.median(step) for step in zip(*timed[name], strict=True)],
        }
        for name in ways
    }


def whole(result: Result, what: str, steps: int) -> float:
    """Seconds ("s") or "gmacs" of a run of so many steps."""
    first, further = result[what]
    return first + (steps - 1) * further


@contextmanager
def calls(unets: list[ModelPatcher], net: Any) -> Generator[Counter[str]]:
    """Counts, while it lasts, calls of UNets, of all nets on this one's network, and of its hint
    encoder."""
    count = Counter[str]()
    network = net.control_model
    parts: list[tuple[str, Any]] = [("net", network.time_embed), ("hint", network.input_hint_block)]
    for model in unets:
        body: Any = model.model.diffusion_model
        parts.append(("unet", body.time_embed))
    kept = [
        part.register_forward_hook(lambda *_, name=name: count.update([name]))
        for name, part in parts
    ]
    try:
        yield count
    finally:
        for handle in kept:
            handle.remove()
