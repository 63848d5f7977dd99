"""Sets of conditions on scenes whose truth is known, for `tandem calibrate scales --demo`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..benchmarks.scaling_draw import Studio, judged
from ..benchmarks.scaling_score import renders_of, total
from ..benchmarks.scaling_sets import Block, block_of_sets
from ..engine.scaling.pushed import Pushed
from ..engine.scaling.settings import Settings
from ..engine.scaling.trial import Seen
from .files import SHIPPED, open_judge
from .judge import Judge

SEED = 4_000_037  # scenes that no benchmark reports on


@dataclass(frozen=True)
class DemoTrial:
    """One set of the benchmark's families (`engine.scaling.calibration.Case`)."""

    studio: Studio
    judge: Judge
    block: Block
    renders: Mapping[str, float]
    steps: int

    @property
    def photo(self) -> int:
        [one] = self.block.sets
        return one.number  # each has a scene of its own

    def pushed(self) -> Pushed | None:
        [one], seen = self.block.sets, Seen()
        self.studio.estimate(one, one.number, Settings(learned=seen))
        return seen.pushed

    def score(self, scales: Mapping[str, float]) -> float:
        """By the scene's truth, as the benchmark `scaling` does."""
        [one] = self.block.sets
        strengths = [scales.get(f"{at}:ready", 0.0) for at in range(len(one.asked))]
        drawn = self.studio.draw(one, strengths, self.steps, one.number)
        [scores] = judged(self.judge, self.block, drawn.picture)
        return total(one.judged, scores, self.renders)


def demo_trials(count: int, steps: int, folder: Path = SHIPPED) -> Iterator[DemoTrial]:
    studio, judge = Studio(folder), open_judge()
    block = block_of_sets(count, SEED, slice(None))
    renders = renders_of({"truth_": {"scores": judged(judge, block, block.truth.picture)}})
    for row in range(count):
        yield DemoTrial(studio, judge, block.only(row), renders, steps)
