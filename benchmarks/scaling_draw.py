"""Part of `scaling`: pictures by ComfyUI's sampler and the pack's own nodes' engine, and scores."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from .comfy_modules import KEPT, hush  # isort: skip

import comfy.controlnet
import comfy.sample
import numpy as np
import torch
from torch import Tensor

from ..engine.conditions import Condition, ConditionRequest, Hint, Photo
from ..engine.control import unroll
from ..engine.control.link import Link
from ..engine.sampling.family import load_family
from ..engine.scaling.apply import apply_as_asked, apply_estimated, rows_of_run
from ..engine.scaling.few_steps import scales_by_few_steps
from ..engine.scaling.ledger import Row
from ..engine.scaling.scale import Scale
from ..engine.scaling.settings import Settings
from ..training.export import CONTROL_NETS, control_file
from ..training.hints import KINDS
from ..training.judge import Judge, Reading, adherence, read
from ..training.measures import hint_scores, mean_iou
from .scaling_sets import ARMS, PROMPT, Block, Set, row_of

__all__ = ["KEPT"]
CFG, SAMPLER, SCHEDULER, LATENT = 4.5, "dpmpp_2m", "normal", 16


@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture [1, 3, 128, 128] in 0..1, what became of its conditions, and the sampler's time."""

    picture: Tensor
    rows: tuple[Row, ...]
    seconds: float


class Studio:
    """The demo family's models in ComfyUI, and the prompts that were encoded."""

    def __init__(self, folder: Path) -> None:
        hush()
        self.model, self.clip, self.vae = load_family(folder)
        files = {kind: folder / CONTROL_NETS / control_file(kind) for kind in KINDS}
        self.nets = {k: comfy.controlnet.load_controlnet(str(file)) for k, file in files.items()}
        self.negative = self._encoded("")

    def draw(self, one: Set, strengths: Sequence[float] | None, steps: int, seed: int) -> Drawn:
        """With these strengths, or, None, with scales estimated up to 1."""
        hints = self._hints(one, strengths or ARMS["ones"](len(one.asked)))
        sides = [self._encoded(" ".join(one.told.words)), self.negative]
        if strengths is None:
            (positive, negative), ledger = apply_estimated(sides, hints, Settings())
            used = ledger.asked
        else:
            (positive, negative), asked = apply_as_asked(sides, hints)
            used = asked.rows
        start = torch.zeros(1, 4, LATENT, LATENT)
        with _links_of_run() as links:
            began = time.perf_counter()
            latent = comfy.sample.sample(
                self.model, comfy.sample.prepare_noise(start, seed), steps, CFG, SAMPLER,
                SCHEDULER, positive, negative, start, disable_pbar=True, seed=seed,
            )  # fmt: skip
            seconds = time.perf_counter() - began
        found = used if strengths else (row.scale for row in rows_of_run(positive, latent))
        calls = iter(link.calls for link in links)  # those left out before the run have none
        rows = tuple(
            Row(scale, next(calls) if asked.scale else None)
            for scale, asked in zip(found, used, strict=True)
        )
        return Drawn(self.vae.decode(latent).movedim(-1, 1), rows, seconds)

    def estimate(self, one: Set, seed: int, settings: Settings | None = None) -> tuple[Scale, ...]:
        """By one step alone."""
        sides = [self._encoded(" ".join(one.told.words)), self.negative]
        start = torch.zeros(1, 4, LATENT, LATENT)
        hints = self._hints(one, ARMS["ones"](len(one.asked)))
        found = scales_by_few_steps(self.model, sides, hints, start, seed, settings or Settings())
        return found.rows

    def _encoded(self, text: str) -> Any:
        return self.clip.encode_from_tokens_scheduled(self.clip.tokenize(text))

    def _hints(self, one: Set, strengths: Sequence[float]) -> list[Hint]:
        made: list[Hint] = []
        for asked, strength in zip(one.asked, strengths, strict=True):
            request = ConditionRequest("ready", resolution=128, strength=strength)
            photo = (Photo(asked.hint),)
            condition = Condition(request, photo, self.nets[asked.net])
            made.append(Hint(condition, (asked.hint,), "local", 0.0))
        return made


@contextmanager
def _links_of_run() -> Generator[list[Link]]:
    """The nets of the one run within, first net first: each counts its calls."""
    links: list[Link] = []
    real = unroll.unroll

    def kept(*given: Any) -> list[unroll.ControlChain]:
        chains = real(*given)
        links.extend(dict.fromkeys(link for chain in chains for link in chain.links))
        return chains

    with mock.patch.object(unroll, "unroll", kept):
        yield links


def judged(judge: Judge, block: Block, pictures: Tensor) -> list[dict[str, float]]:
    """Scores of each picture against its scene, 0..1, and its distance to the scene's render.

    NaN where a scene has nothing of a kind.
    """
    reading, true = read(judge, pictures), read(judge, block.truth.picture)
    by_kind = {kind: hint_scores(kind, pictures, reading, block.truth) for kind in KINDS}
    by_kind["seg"] = mean_iou(reading, block.truth)  # kinds of things count, as its hint has them
    far = (1 - (reading.embedding * true.embedding).sum(1)).tolist()
    return [
        {
            **{kind: values[row] for kind, values in by_kind.items()},
            PROMPT: _prompt(row_of(reading, row), one),
            "distance": far[row],
        }
        for row, one in enumerate(block.sets)
    ]


def _prompt(reading: Reading, one: Set) -> float:
    found = adherence(reading, [one.told])
    return float(np.mean([v for key, values in found.items() if key != "both" for v in values]))
