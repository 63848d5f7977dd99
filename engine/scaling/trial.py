"""One picture drawn with scales, and read again by the detectors that made its hints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import comfy.sample
import numpy as np
import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ..conditions import Hint, Photo, detect
from ..conditions.view import Levels
from ..control.chain import Conditioning, name_of
from .apply import apply_as_asked
from .few_steps import scales_by_few_steps
from .pushed import Pushed
from .settings import Settings

NEAR = 7  # pixels a side, over which levels are averaged: an edge may lie beside where it was asked


@dataclass(frozen=True, slots=True)
class Sampling:
    """What to draw with.

    sides: positive and negative prompt.
    """

    model: ModelPatcher
    vae: Any
    sides: Sequence[Conditioning]
    steps: int
    cfg: float
    sampler: str
    scheduler: str


class Seen:
    """What a run measured; it lowers nothing (`engine.scaling.settings.Lowers`)."""

    def __init__(self) -> None:
        self.pushed: Pushed | None = None

    def shares(self, pushed: Pushed, kept: Sequence[int]) -> list[float]:
        self.pushed = pushed
        return [1.0] * len(kept)


@dataclass(frozen=True)
class Trial:
    """Conditions of one picture (`engine.scaling.calibration.Case`).

    good: whether each tells of what the picture shall show; the others spoil it.
    seed: of the noise; each photo has its own.
    """

    sampling: Sampling
    hints: tuple[Hint, ...]
    good: tuple[bool, ...]
    seed: int

    @property
    def photo(self) -> int:
        return self.seed

    def pushed(self) -> Pushed | None:
        seen, with_ = Seen(), self.sampling
        settings = Settings(learned=seen)
        scales_by_few_steps(
            with_.model, with_.sides, self.hints, self._start(), self.seed, settings, with_.vae
        )
        return seen.pushed

    def score(self, scales: Mapping[str, float]) -> float:
        """Mean likeness, 0..1, of the good hints to what their detectors find in the picture."""
        picture = Photo(self._drawn(scales))
        found = [
            likeness(hint.pictures[0], detect(hint.condition.request, picture))
            for hint, good in zip(self.hints, self.good, strict=True)
            if good
        ]
        return float(np.mean(found))

    def _drawn(self, scales: Mapping[str, float]) -> Any:
        """[h, w, 3] uint8."""
        scaled = [
            _with_strength(hint, scales.get(name_of(at, hint), 0.0))
            for at, hint in enumerate(self.hints)
        ]
        with_, start = self.sampling, self._start()
        (positive, negative), _ = apply_as_asked(with_.sides, scaled, with_.vae)
        latent = comfy.sample.sample(
            with_.model, comfy.sample.prepare_noise(start, self.seed), with_.steps, with_.cfg,
            with_.sampler, with_.scheduler, positive, negative, start, disable_pbar=True,
            seed=self.seed,
        )  # fmt: skip
        picture: Tensor = with_.vae.decode(latent)[0]
        return (picture.clamp(0, 1) * 255).round().byte().cpu().numpy()

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the picture: another photo's hint may have another shape."""
        own = next(hint for hint, good in zip(self.hints, self.good, strict=True) if good)
        height, width = own.pictures[0].shape[:2]
        return height, width

    def _start(self) -> Tensor:
        height, width = self.size
        start = torch.zeros(1, 4, height // 8, width // 8)
        return comfy.sample.fix_empty_latent_channels(self.sampling.model, start)


def likeness(one: Levels, other: Levels) -> float:
    """Correlation of two hints whose levels are averaged over NEAR pixels; opposed ones have 0."""
    height, width = one.shape[:2]
    flat = [_averaged(each, (height, width)) for each in (one, other)]
    centred = [each - each.mean() for each in flat]
    lengths = centred[0].norm() * centred[1].norm()
    return max(0.0, float((centred[0] * centred[1]).sum() / lengths)) if lengths > 0 else 0.0


def _averaged(levels: Levels, size: tuple[int, int]) -> Tensor:
    picture = torch.from_numpy(levels.astype(np.float64))
    picture = picture.unsqueeze(-1) if picture.ndim == 2 else picture
    rows = picture.movedim(-1, 0)[None]
    sized = torch.nn.functional.interpolate(rows, size, mode="bilinear")
    return torch.nn.functional.avg_pool2d(sized, NEAR, 1, NEAR // 2)


def _with_strength(hint: Hint, strength: float) -> Hint:
    request = replace(hint.condition.request, strength=min(strength, 10.0))
    return replace(hint, condition=replace(hint.condition, request=request))
