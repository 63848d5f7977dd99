"""Part of `scaling`: pictures by ComfyUI's sampler and the pack's own nodes' engine, and scores."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
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
CFG, SAMPLER, SCHEDULER = 4.5, "dpmpp_2m", "normal"
SHAPE = (1, 4, 16, 16)  # of a latent


@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture [1, 3, 128, 128] in 0..1, what became of its conditions, and its share of the
    sampler's time.
    """

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
        if strengths is not None:
            [drawn] = self.draw_alike([one], strengths, steps, [seed])
            return drawn
        hints = _hints([one], ARMS["ones"](len(one.asked)), self.nets)
        sides, ledger = apply_estimated(self._sides([one]), hints, Settings())
        latent, links, seconds = self._sampled(sides, steps, [seed])
        found = [row.scale for row in rows_of_run(sides[0], latent)]
        return Drawn(self._picture(latent), _rows(found, ledger.asked, links), seconds)

    def draw_alike(
        self, sets: Sequence[Set], strengths: Sequence[float], steps: int, seeds: Sequence[int]
    ) -> list[Drawn]:
        """In one batch, sets whose conditions ask the same nets in the same order."""
        hints = _hints(sets, strengths, self.nets)
        sides, asked = apply_as_asked(self._sides(sets), hints)
        latent, links, seconds = self._sampled(sides, steps, seeds)
        rows = _rows(asked.rows, asked.rows, links)
        pictures = self._picture(latent).split(1)
        return [Drawn(picture, rows, seconds / len(sets)) for picture in pictures]

    def estimate(self, one: Set, seed: int, settings: Settings | None = None) -> tuple[Scale, ...]:
        """By the first steps alone."""
        sides, start = self._sides([one]), torch.zeros(SHAPE)
        hints = _hints([one], ARMS["ones"](len(one.asked)), self.nets)
        found = scales_by_few_steps(self.model, sides, hints, start, seed, settings or Settings())
        return found.rows

    def _sampled(
        self, sides: Sequence[Any], steps: int, seeds: Sequence[int]
    ) -> tuple[Tensor, list[Link], float]:
        """[B, 4, 16, 16], a seed each; the nets that were asked; seconds."""
        (positive, negative), start = sides, torch.zeros(SHAPE)
        each: list[Any] = [comfy.sample.prepare_noise(start, seed) for seed in seeds]
        noise = torch.cat(each)
        with _links_of_run() as links:
            began = time.perf_counter()
            latent = comfy.sample.sample(
                self.model, noise, steps, CFG, SAMPLER, SCHEDULER, positive, negative,
                torch.zeros_like(noise), disable_pbar=True, seed=seeds[0],
            )  # fmt: skip
            return latent, links, time.perf_counter() - began

    def _sides(self, sets: Sequence[Set]) -> list[Any]:
        """What is said of each set in a row of its own, and the negative prompt of all."""
        said = [self._encoded(" ".join(one.told.words)) for one in sets]
        words = torch.cat([rows for [[rows, _]] in said])
        pooled = torch.cat([options["pooled_output"] for [[_, options]] in said])
        [[_, options]] = said[0]
        return [[[words, {**options, "pooled_output": pooled}]], self.negative]

    def _picture(self, latent: Tensor) -> Tensor:
        return self.vae.decode(latent).movedim(-1, 1)

    def _encoded(self, text: str) -> Any:
        return self.clip.encode_from_tokens_scheduled(self.clip.tokenize(text))


def _hints(sets: Sequence[Set], strengths: Sequence[float], nets: Mapping[str, Any]) -> list[Hint]:
    """Of each place, the hints of all sets: a picture of the batch each."""
    made: list[Hint] = []
    for place, strength in enumerate(strengths):
        asked = [one.asked[place] for one in sets]
        [net] = {each.net for each in asked}
        pictures = tuple(each.hint for each in asked)
        request = ConditionRequest("ready", resolution=128, strength=strength)
        condition = Condition(request, tuple(map(Photo, pictures)), nets[net])
        made.append(Hint(condition, pictures, "local", 0.0))
    return made


def _rows(found: Sequence[Scale], asked: Sequence[Scale], links: Sequence[Link]) -> tuple[Row, ...]:
    calls = iter(link.calls for link in links)  # those left out before the run have none
    return tuple(
        Row(scale, next(calls) if before.scale else None)
        for scale, before in zip(found, asked, strict=True)
    )


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


def told(judge: Judge, block: Block, drawn: Sequence[Drawn]) -> list[dict[str, Any]]:
    """Of each set what figures need: its picture's scores, its scales in its own order, calls."""
    scores = judged(judge, block, torch.cat([one.picture for one in drawn]))
    return [
        {
            "family": one.family,
            "judged": list(one.judged),
            "good": [asked.good for asked in one.asked],
            "scales": [row.scale.scale for row in made.rows],
            "calls": sum(row.calls or 0 for row in made.rows),
            "scores": score,
        }
        for one, made, score in zip(block.sets, drawn, scores, strict=True)
    ]


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
