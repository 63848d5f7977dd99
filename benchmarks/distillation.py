"""How near a compact model, distilled in two phases, comes in few steps to its teacher in twenty.

EdgeFusion's recipe (arXiv 2404.11925) on the demo family: feature distillation, then latent
consistency, the larger teacher in both; against latent consistency alone (`direct`), a teacher
shaped as the student (`self_taught`), and the teacher itself with CFG at the same few steps.
Compact ControlNets stand beside full ones. Members that are only compared come with the folder
of `tandem train`; what is not there has no figures.
"""

from __future__ import annotations

import importlib.util
import logging
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import torch

from ..engine.errors import Unavailable
from ..training.export import OTHERS
from ..training.files import JUDGE, SHIPPED, open_judge
from ..training.members import COMPARED
from .demo_hints import Hinted
from .distillation_draw import (
    COMPACT,
    FULL,
    HINTED_SEED,
    NETS,
    PLAIN,
    SEED,
    SIDES,
    TEACHER,
    TEACHER_STEPS,
    Row,
    Scores,
    Studio,
    case_of,
    drawn,
    scores,
)
from .distillation_figures import (
    CLOSE,
    FEW,
    FEWEST,
    TWO_PHASE,
    adherence_of,
    distillation_figures,
)
from .parts import Part, Result, finish

log = logging.getLogger(__name__)
HERE, TRAINING = Path(__file__).parent, SHIPPED.parent / "training"
SCORING = ("captions", "consistency", "diffusion", "figure", "generate", "hints", "judge",
           "measures", "render", "scenes", "shapes", "students", "unet", "words")  # fmt: skip
EXPORT = [*(HERE.parent / "engine" / "export").glob("*.py"), HERE / "distillation_int8.py"]
BLOCK = 50  # scenes a part
CHECKED = {PLAIN: 8, FULL: 4, COMPACT: 4}  # scenes whose pictures every run scores
CHECKED_SEED, DRAW_SEED = SEED + 10, 100  # the latter is added for each further draw of scenes
CHECKED_ROWS = (
    Row(TEACHER, FEW, PLAIN),
    *(Row(TWO_PHASE, steps, PLAIN) for steps in (FEWEST, FEW)),
    *(Row(TWO_PHASE, FEW, nets) for nets in (FULL, COMPACT)),
)


@dataclass(frozen=True)
class Settings:
    """How many scenes, and at which steps: whole blocks, a scene's noise goes with its block."""

    scenes: int = 300  # without hints
    hinted: int = 100  # with
    more: int = 4  # times as many for the two ways to train that differ least
    draws: int = 4  # as many of other seeds too, for those two without hints: no hint helps there
    steps: tuple[int, ...] = (1, FEWEST, FEW, 8)
    strength: float = 0.8  # of each of three: the best for the teacher in `demo_quality`
    rounds: int = 41  # of a call of the exported UNet
    folder: str = ""  # of the family; the shipped one if not given
    trained: str = ""  # of `tandem train`, after `export`: members that are only compared

    @property
    def studio(self) -> Studio:
        compared = Path(self.trained) / OTHERS if self.trained else None
        return Studio(Path(self.folder) if self.folder else SHIPPED, compared, self.strength)

    @property
    def rows(self) -> list[Row]:
        few = [Row(side, at, nets) for side in SIDES for at in self.steps for nets in NETS]
        return [*few, *(Row(TEACHER, TEACHER_STEPS, nets) for nets in NETS)]

    def count(self, row: Row) -> int:
        """Scenes of a row: the first of all."""
        if row not in CLOSE:
            return self.least(row)
        return self.all_scenes(row) * (1 if row.kinds else self.draws)

    def least(self, row: Row) -> int:
        return self.hinted if row.kinds else self.scenes

    def all_scenes(self, row: Row) -> int:
        """Of one seed."""
        return self.more * self.least(row)


QUICK = Settings(scenes=0, hinted=0, rounds=0)
EXACT = ("files_crc32",)
NEAR = {  # another processor may flip a thing
    **{f"checked_{row.name}": 0.13 for row in CHECKED_ROWS},
    "checked_int8_size_ratio": 0.005,
    "checked_int8_pixel_difference": 1.0,
}


def measure(settings: Settings, keep: Path | None = None) -> dict[str, float]:
    """All figures, from parts kept in `keep`."""
    for line in absent(settings):
        log.warning("%s", line)
    rows = _there(settings)
    results = finish(parts(settings), keep)
    figures = {"files_crc32": float(_crc(_family_files(settings.studio))), **results["checked"]}
    renders = {
        nets: _joined(results, f"renders_{nets}_")
        for nets, count in ((PLAIN, settings.scenes), (FULL, settings.hinted))
        if count
    }
    found = {row: _joined(results, f"{row.name}_at_") for row in rows if settings.count(row)}
    figures |= distillation_figures(found, renders)
    if (int8 := _int8(settings)) is not None:
        figures |= results["checked_int8"]
        blocks = {row.nets: _blocks(results, f"int8_{row.name}_at_") for row in int8.ROWS}
        of = {row.nets: renders.get(FULL if row.kinds else PLAIN, {}) for row in int8.ROWS}
        figures |= int8.int8_figures({n: b for n, b in blocks.items() if b}, of)
        figures |= int8.cost_figures(results["int8_cost"]) if settings.rounds else {}
    return figures


def parts(settings: Settings) -> dict[str, Part]:
    """What a full run consists of, each part good for the files that it was made from."""
    torch.set_num_threads(1)  # two wait for each other; two runs side by side share the parts
    studio = settings.studio
    code = [*(TRAINING / f"{name}.py" for name in SCORING), JUDGE]
    code += [HERE / f"{name}.py" for name in ("distillation_draw", "demo_hints")]
    counts = f"{settings.scenes} {settings.hinted} {settings.more}"
    key = f"{_crc(code):08x} {counts} {settings.strength:g}"
    every = f"{key} {_crc(_family_files(studio)):08x}"
    made = {"checked": Part(partial(_checked, studio), every)}
    for nets in (PLAIN, FULL):
        row = Row(TEACHER, TEACHER_STEPS, nets)
        for at in range(0, settings.all_scenes(row), BLOCK):
            made[f"renders_{nets}_{at}"] = Part(partial(_renders, row, settings, at), key)
    for row in _there(settings):
        own = f"{key} {_crc(studio.files(row)):08x}"
        for at in range(0, settings.count(row), BLOCK):
            make = partial(_drawn, studio, row, settings, at)
            made[f"{row.name}_at_{at}"] = Part(make, own)
    if (int8 := _int8(settings)) is not None:
        made |= _int8_parts(int8, settings, f"{key} {_crc(sorted(EXPORT)):08x}")
    return made


def _int8_parts(int8: ModuleType, settings: Settings, key: str) -> dict[str, Part]:
    studio = settings.studio
    rows = [row for row in int8.ROWS if all(path.is_file() for path in studio.files(row))]
    own = {row: f"{key} {_crc(studio.files(row)):08x}" for row in rows}
    made = {"checked_int8": Part(partial(_checked_int8, int8, studio), own[rows[0]])}
    for row in rows:
        for at in range(0, settings.least(row), BLOCK):
            make = partial(_int8_drawn, int8, studio, row, settings, at)
            made[f"int8_{row.name}_at_{at}"] = Part(make, own[row])
    if settings.rounds:
        cost = partial(int8.int8_cost, studio, settings.rounds)
        made["int8_cost"] = Part(cost, f"{own[rows[0]]} {settings.rounds}")
    return made


def _int8(settings: Settings) -> ModuleType | None:
    """What exports and runs the few-step UNet; None, and why, where that cannot be."""
    if not settings.studio.unet_file(TWO_PHASE).is_file():
        return None
    if importlib.util.find_spec("onnx") is None:
        log.warning("no rows int8_*: install onnx")
        return None
    try:
        from . import distillation_int8
    except Unavailable as error:
        log.warning("no rows int8_*: %s", error)
        return None
    return distillation_int8


def _there(settings: Settings) -> list[Row]:
    """Rows whose files are."""
    studio = settings.studio
    return [row for row in settings.rows if all(path.is_file() for path in studio.files(row))]


def absent(settings: Settings) -> list[str]:
    """Which rows are not there, for want of what."""
    studio = settings.studio
    told: list[str] = []
    for side, name in SIDES.items():
        path = studio.unet_file(side)
        if not path.is_file():
            then = ", then give --trained" if name in COMPARED else ""
            made = f"`tandem train {name}` and `export` make it{then}"
            told.append(f"no rows {side}_*: {path.name} is not in {path.parent}; {made}")
    stages = {
        studio.net_file(row, kind): f"{'compact-' if row.nets == COMPACT else ''}control-{kind}"
        for row in settings.rows
        for kind in row.kinds
    }
    return told + [
        f"no rows with {path.name}: it is not in {path.parent}; "
        f"`tandem train {stage}` and `export` make it"
        for path, stage in sorted(stages.items())
        if not path.is_file()
    ]


def _family_files(studio: Studio) -> list[Path]:
    """Shipped ones that are scored here: figures are of these and no others."""
    shipped = [row for row in Settings().rows if SIDES[row.side] not in COMPARED]
    return sorted({path for row in shipped for path in studio.files(row) if path.is_file()})


def _crc(paths: list[Path]) -> int:
    found = 0
    for path in paths:
        found = zlib.crc32(path.read_bytes(), found)
    return found


def _block(row: Row, settings: Settings, at: int, count: int) -> Hinted:
    """Scenes from `at` of the first `count` of all."""
    scenes = settings.all_scenes(row)
    draw, first = divmod(at, scenes)
    seed = (HINTED_SEED if row.kinds else SEED) + DRAW_SEED * draw
    return case_of(row, scenes, seed, slice(first, min(first + BLOCK, count - draw * scenes)))


def _renders(row: Row, settings: Settings, at: int, _: Mapping[str, Result]) -> Result:
    """What true pictures score."""
    case = _block(row, settings, at, settings.all_scenes(row))
    return scores(open_judge(), row, case, case.truth.picture)


def _drawn(
    studio: Studio, row: Row, settings: Settings, at: int, _: Mapping[str, Result]
) -> Result:
    case = _block(row, settings, at, settings.count(row))
    return scores(open_judge(), row, case, drawn(studio, row, case, 1000 + at))


def _checked(studio: Studio, _: Mapping[str, Result]) -> Result:
    """Few pictures, the same in every run, full or quick."""
    judge, figures = open_judge(), {}
    for row in CHECKED_ROWS:
        if all(path.is_file() for path in studio.files(row)):
            case = case_of(row, CHECKED[row.nets], CHECKED_SEED, slice(None))
            found = scores(judge, row, case, drawn(studio, row, case, 1))
            renders = scores(judge, row, case, case.truth.picture)
            once = np.ones((1, len(case.told)))
            figures[f"checked_{row.name}"] = float(adherence_of(found, renders, once)[0])
    return figures


def _checked_int8(int8: ModuleType, studio: Studio, _: Mapping[str, Result]) -> Result:
    row = int8.ROWS[0]
    case = case_of(row, CHECKED[row.nets], CHECKED_SEED, slice(None))
    far = int8.int8_drawn(studio, row, case, 1)["far"]
    size = int8.exported_bytes(studio)
    return {
        "checked_int8_size_ratio": size["int8"] / size["fp32"],
        "checked_int8_pixel_difference": sum(far) / len(far),
    }


def _int8_drawn(
    int8: ModuleType,
    studio: Studio,
    row: Row,
    settings: Settings,
    at: int,
    _: Mapping[str, Result],
) -> Result:
    case = _block(row, settings, at, settings.least(row))
    return int8.int8_drawn(studio, row, case, 1000 + at)


def _blocks(results: Mapping[str, Result], start: str) -> list[Result]:
    """Of all parts whose names start so, in the order of their scenes."""
    names = sorted((n for n in results if n.startswith(start)), key=lambda n: int(n[len(start) :]))
    return [results[name] for name in names]


def _joined(results: Mapping[str, Result], start: str) -> Scores:
    blocks = _blocks(results, start)
    return {key: [value for block in blocks for value in block[key]] for key in blocks[0]}
