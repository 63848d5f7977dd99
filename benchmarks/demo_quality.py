"""The demo family draws what the caption says, and its ControlNets make it keep to their hints.

Scored by a judge trained beside it (training/judge.py), whose own reading of true pictures stands
beside every figure. Captions and scenes are of seeds that training never used; `unseen` ones hold
only pairs of colour and shape that the generator never saw; the judge did.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from ..engine.sampling.family_files import CONTROL_NETS, TEXT, UNET, VAE, control_file
from ..training.captions import caption
from ..training.files import JUDGE, SHIPPED, full_files, open_family, open_judge
from ..training.generate import Family
from ..training.hints import KINDS
from ..training.judge import Judge
from ..training.libraries import ControlNetModel
from ..training.scenes import sample_scenes
from .demo_hints import hint_figures, hint_parts, hinted_scenes, scores, shipped_nets
from .demo_prompts import HELD_SEED, drawn, prompt_figures, prompt_parts, statements
from .parts import Part, Result, finish

TRAINING = Path(SHIPPED).parent / "training"
SCORING = ("captions", "diffusion", "figure", "generate", "hints", "judge", "measures", "render",
           "scenes", "shapes", "students", "unet", "words")  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """How many captions, noises and scenes."""

    captions: int = 300
    seeds: int = 1
    unseen: int = 100
    pruned: int = 100
    hinted: int = 64  # scenes for each ControlNet
    wrong: int = 32  # of them once more with another scene's hint
    searched: int = 16  # other scenes, on which a strength of all four at once is searched
    strengths: tuple[float, ...] = (0.3, 0.45, 0.6, 0.8)
    folder: str = ""  # of the files; the shipped ones if not given

    @property
    def files(self) -> Path:
        return Path(self.folder) if self.folder else SHIPPED


QUICK = Settings(captions=0, unseen=0, pruned=0, hinted=0, wrong=0, searched=0)
CHECKED, CHECKED_HINTS = 8, 2  # captions and hinted scenes whose pictures every run scores
CHECKED_SEED = HELD_SEED + 10
EXACT = ("files_crc32",)
NEAR = {  # another processor may flip one thing
    **dict.fromkeys(("checked_scene", "checked_colour", "checked_shape"), 0.13),
    **{f"checked_{kind}": 0.1 for kind in KINDS},
}


def measure(settings: Settings, keep: Path | None = None) -> dict[str, float]:
    """All figures, from parts kept in `keep`; a ControlNet without a file has none."""
    results = finish(parts(settings), keep)
    figures = {"files_crc32": float(_crc(full_files(settings.files))), **results["checked"]}
    if settings.captions:
        figures |= prompt_figures(results)
    if settings.hinted:
        figures |= hint_figures(results)
    return figures


def parts(settings: Settings) -> dict[str, Part]:
    """What a full run consists of, each part good for the files that it was made from."""
    family, judge = open_family(settings.files), open_judge()
    nets = shipped_nets(family, settings.files)
    scoring = [TRAINING / f"{name}.py" for name in SCORING]
    scoring += [Path(__file__).with_name(f"demo_{name}.py") for name in ("prompts", "hints")]
    base = [settings.files / name for name in (UNET, TEXT, VAE)]
    files = {kind: settings.files / CONTROL_NETS / control_file(kind) for kind in nets}
    key = f"{_crc([*base, JUDGE, *scoring]):08x}"
    keys = {kind: f"{key} {_crc([path]):08x}" for kind, path in files.items()}
    every = f"{key} {_crc([*files.values()]):08x}"
    found = {"checked": Part(partial(_checked, family, judge, nets), every)}
    if settings.captions:
        found |= prompt_parts(family, judge, key, settings)
    if settings.hinted and nets:
        found |= hint_parts(family, judge, nets, (key, keys, every), settings)
    return found


def _crc(paths: list[Path]) -> int:
    found = 0
    for path in paths:
        found = zlib.crc32(path.read_bytes(), found)
    return found


def _checked(
    family: Family, judge: Judge, nets: dict[str, ControlNetModel], _: Mapping[str, Result]
) -> Result:
    """Few pictures, the same in every run, full or quick."""
    scenes = sample_scenes(CHECKED, CHECKED_SEED)
    told = [caption(scenes, row, CHECKED_SEED) for row in range(CHECKED)]
    found = statements(judge, drawn(family, told, 1, "ancestral"), told)
    figures = {f"checked_{key}": found[key] for key in ("scene", "colour", "shape")}
    case = hinted_scenes(CHECKED_HINTS, CHECKED_SEED)
    for kind, net in nets.items():
        pictures = case.drawn(family, {kind: (net, 1.0)}, 1)
        each = torch.tensor(scores(judge, case, pictures)[kind])
        figures[f"checked_{kind}"] = float(each.nanmean())
    return figures
