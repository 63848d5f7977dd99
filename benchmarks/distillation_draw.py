"""Part of `distillation`: the ways to a picture that are compared, and what their pictures score.

Without hints on scenes of any kind; with hints of three kinds on scenes with a figure, so that
each has something to say. A scene's noise is the same in every row.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from torch import Tensor

from ..engine.sampling.family_files import CONTROL_NETS, TEXT, VAE, control_file
from ..training.captions import caption
from ..training.files import (
    open_compact_control_net,
    open_control_net,
    open_family,
    open_unet,
)
from ..training.generate import Control, Family, generate
from ..training.judge import Judge, adherence, read
from ..training.libraries import ControlNetModel, UNet2DConditionModel
from ..training.measures import hint_scores
from ..training.members import COMPARED, UNETS
from ..training.render import render
from ..training.scenes import sample_scenes
from .demo_hints import Hinted, hinted_scenes
from .scaling_sets import row_of

SEED, HINTED_SEED = 4_000_021, 4_000_022  # of scenes that nothing was trained or tuned on
KINDS = ("edge", "depth", "pose")  # as in the pack's example of several conditions
PLAIN, FULL, COMPACT = NETS = ("k0", "k3", "k3_compact")  # ControlNets of a row
TEACHER, TEACHER_STEPS = "teacher", 20
SIDES = {  # by name of the rows: the family's member
    "two_phase": "lcm",
    "direct": "lcm-direct",
    "self_taught": "lcm-self",
    TEACHER: "full",
}
BATCH = 25
Scores = dict[str, list[float]]  # a scene each; NaN: nothing to score


@dataclass(frozen=True, slots=True)
class Row:
    """A UNet, its number of steps, and ControlNets or none."""

    side: str
    steps: int
    nets: str

    @property
    def name(self) -> str:
        return f"{self.side}_{self.steps}_{self.nets}"

    @property
    def sampler(self) -> str:
        """The teacher's: at few steps the better of its two, with CFG."""
        return "solver" if self.side == TEACHER else "lcm"

    @property
    def kinds(self) -> tuple[str, ...]:
        """Of its hints, by which its pictures are scored too."""
        return () if self.nets == PLAIN else KINDS


@dataclass(frozen=True, slots=True)
class Studio:
    """Models by the folders that their files lie in, opened when first used.

    compared: of members that are only compared with the family; None: nowhere.
    """

    folder: Path
    compared: Path | None
    strength: float

    def files(self, row: Row) -> list[Path]:
        """All weights that a row's pictures are made by; they may be missing."""
        base = [self.folder / name for name in (TEXT, VAE)]
        return [*base, self.unet_file(row.side), *(self.net_file(row, kind) for kind in row.kinds)]

    def unet_file(self, side: str) -> Path:
        name = SIDES[side]
        return self._place(name) / (UNETS | COMPARED)[name].file

    def net_file(self, row: Row, kind: str) -> Path:
        return self.folder / CONTROL_NETS / control_file(kind, row.nets == COMPACT)

    def family(self, side: str) -> Family:
        """The side's UNet with the family's text encoder and autoencoder."""
        family, name = _family(self.folder), SIDES[side]
        unet = family.unet if side == TEACHER else _unet(self._place(name), name)
        return Family(unet, family.text, family.autoencoder)

    def controls(self, row: Row, case: Hinted) -> tuple[Control, ...]:
        compact = row.nets == COMPACT
        return tuple(
            Control(_net(self.folder, kind, compact), case.hints(kind), self.strength)
            for kind in row.kinds
        )

    def _place(self, name: str) -> Path:
        return self.folder if name in UNETS else self.compared or self.folder


def drawn(
    studio: Studio, row: Row, case: Hinted, seed: int, family: Family | None = None
) -> Tensor:
    """[N, 3, 128, 128] in 0..1; `family`: in place of the row's."""
    return generate(
        family or studio.family(row.side),
        case.words,
        seed,
        sampler=row.sampler,
        steps=row.steps,
        controls=studio.controls(row, case),
        batch=BATCH,
    )


def case_of(row: Row, count: int, seed: int, block: slice) -> Hinted:
    """Scenes `block` of the first `count`: with a figure each if the row has hints."""
    if row.kinds:
        return hinted_scenes(count, seed, block)
    scenes = sample_scenes(count, seed)
    told = [caption(scenes, number, seed) for number in range(count)[block]]
    return Hinted(scenes[block], render(scenes[block]), told)


def scores(judge: Judge, row: Row, case: Hinted, pictures: Tensor) -> Scores:
    """Scene by scene: things of the right shape and colour, things told of, and each kind."""
    reading = read(judge, pictures)
    right = [
        adherence(row_of(reading, number), [told])["both"] for number, told in enumerate(case.told)
    ]
    found = {"right": [sum(each) for each in right], "things": [float(len(e)) for e in right]}
    return found | {kind: hint_scores(kind, pictures, reading, case.truth) for kind in row.kinds}


@cache
def _family(folder: Path) -> Family:
    return open_family(folder)


@cache
def _unet(folder: Path, name: str) -> UNet2DConditionModel:
    return open_unet(folder, name)


@cache
def _net(folder: Path, kind: str, compact: bool) -> ControlNetModel:
    if compact:
        return open_compact_control_net(kind, folder)
    return open_control_net(_family(folder), kind, folder)
