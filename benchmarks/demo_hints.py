"""Part of `demo_quality`: how well pictures keep to hints, alone and together.

Every scene has a figure, so that each kind of hint has something to say. The same captions and
noise with and without; scores of 0..1 by training/measures.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..engine.sampling.family_files import CONTROL_NETS, control_file
from ..training.captions import Caption, caption
from ..training.files import open_control_net
from ..training.generate import Control, Family, generate
from ..training.hints import KINDS, hints
from ..training.judge import Judge, read
from ..training.libraries import ControlNetModel
from ..training.measures import hint_scores
from ..training.render import Truth, render
from ..training.scenes import Scenes, sample_scenes
from ..training.words import FIGURE
from .demo_prompts import reconstructed
from .parts import Part, Result
from .statistics import interval

if TYPE_CHECKING:
    from .demo_quality import Settings

HINT_SEED, SEARCH_SEED = 2_000_003, 2_000_004
BLOCK = 32  # scenes a part
Nets = Mapping[str, ControlNetModel]
Scores = dict[str, list[float]]  # by kind, a picture each; NaN: nothing to score


@dataclass(frozen=True, slots=True)
class Hinted:
    """Scenes with a figure, what is true of them, and a caption each."""

    scenes: Scenes
    truth: Truth
    told: list[Caption]

    @property
    def words(self) -> list[tuple[str, ...]]:
        return [one.words for one in self.told]

    def hints(self, kind: str) -> Tensor:
        truth = self.truth
        stored = {
            "picture": (truth.picture * 255).round().byte(),
            "depth": (truth.depth * 255).round().byte(),
            "segment": truth.segment,
            "surface": truth.surface,
            "keypoints": truth.keypoints,
        }
        rows = torch.arange(len(self.scenes))
        return hints(kind, stored, rows, ["canny"] * len(rows))

    def drawn(
        self, family: Family, nets: Mapping[str, tuple[ControlNetModel, float]], seed: int,
        turned: int = 0,
    ) -> Tensor:  # fmt: skip
        """Pictures with nets at strengths; `turned`: with the hint of so many scenes before."""
        controls = tuple(
            Control(net, self.hints(kind).roll(turned, 0), strength)
            for kind, (net, strength) in nets.items()
        )
        return generate(family, self.words, seed, controls=controls)


def hinted_scenes(count: int, seed: int, block: slice = slice(None)) -> Hinted:
    """Scenes `block` of the first `count` with a figure."""
    scenes = sample_scenes(8 * count, seed)
    rows = ((scenes.shape == FIGURE) & scenes.present).any(1).nonzero()[:, 0][:count][block]
    told = [caption(scenes, row, seed) for row in rows.tolist()]
    return Hinted(scenes[rows], render(scenes[rows]), told)


def shipped_nets(family: Family, folder: Path) -> dict[str, ControlNetModel]:
    """The ControlNets whose files are there, by kind."""
    there = [k for k in KINDS if (folder / CONTROL_NETS / control_file(k)).exists()]
    return {kind: open_control_net(family, kind, folder) for kind in there}


def scores(judge: Judge, case: Hinted, pictures: Tensor) -> Scores:
    reading = read(judge, pictures)
    return {kind: hint_scores(kind, pictures, reading, case.truth) for kind in KINDS}


def hint_parts(
    family: Family,
    judge: Judge,
    nets: Nets,
    keys: tuple[str, dict[str, str], str],
    settings: Settings,
) -> dict[str, Part]:
    """`keys`: without nets, of each net, of all nets."""
    count = settings.hinted
    base, every = f"{keys[0]} of {count}", f"{keys[2]} of {count}"
    own = {kind: f"{key} of {count}" for kind, key in keys[1].items()}
    searched = f"{every} {settings.searched} {settings.strengths}"
    parts = {"hints_truth": Part(partial(_truth, family, judge, count), base)}
    for at in range(0, count, BLOCK):
        block = slice(at, at + BLOCK)
        case = partial(hinted_scenes, count, HINT_SEED, block)
        plain = partial(_drawn, family, judge, case, at)
        parts[f"hints_none_{at}"] = Part(partial(plain, {}), base)
        for kind, net in nets.items():
            alone = {kind: (net, 1.0)}
            parts[f"hints_{kind}_{at}"] = Part(partial(plain, alone), own[kind])
            if at < settings.wrong:
                parts[f"wrong_{kind}_{at}"] = Part(partial(plain, alone, turned=1), own[kind])
        if settings.searched and len(nets) > 1:
            full = {kind: (net, 1.0) for kind, net in nets.items()}
            parts[f"four_full_{at}"] = Part(partial(plain, full), every)
            together = partial(_together, plain, nets)
            parts[f"four_searched_{at}"] = Part(together, searched, needs=("search",))
    if settings.searched and len(nets) > 1:
        search = partial(_search, family, judge, nets, settings.searched, settings.strengths)
        parts["search"] = Part(search, searched)
    return parts


def hint_figures(results: Mapping[str, Result]) -> dict[str, float]:
    truth = results["hints_truth"]
    none = _joined(results, "hints_none_")
    alone: dict[str, Scores] = {}
    figures: dict[str, float] = {}
    for kind in KINDS:
        own = _joined(results, f"hints_{kind}_")
        if not own:
            continue
        alone[kind] = own
        gain = np.subtract(own[kind], none[kind])
        renders = float(np.nanmean(truth["renders"][kind]))
        figures |= {
            f"without_{kind}": float(np.nanmean(none[kind])),
            f"with_{kind}": float(np.nanmean(own[kind])),
            f"judge_{kind}": renders,
            f"judge_{kind}_reconstructed": float(np.nanmean(truth["reconstructed"][kind])),
            f"gain_{kind}": float(np.nanmean(gain)),
            f"gain_{kind}_lower": interval([*gain[~np.isnan(gain)]])[0],
            f"adherence_{kind}": float(np.nanmean(own[kind])) / renders,
        }
        if wrong := _joined(results, f"wrong_{kind}_"):
            figures[f"wrong_{kind}"] = float(np.nanmean(wrong[kind]))
    if "search" in results:
        figures |= _together_figures(results, alone, truth["renders"])
    return figures


def _together_figures(
    results: Mapping[str, Result], alone: dict[str, Scores], renders: Scores
) -> dict[str, float]:
    """Four at once against each alone: mean over kinds of adherence, scene by scene."""
    single = {kind: _total(own, renders) for kind, own in alone.items()}
    best = max(single, key=lambda kind: np.nanmean(single[kind]))
    searched = _total(_joined(results, "four_searched_"), renders)
    more = searched - single[best]
    return {
        **{f"alone_{kind}": float(np.nanmean(each)) for kind, each in single.items()},
        "best_alone": float(np.nanmean(single[best])),
        "together_at_1": float(np.nanmean(_total(_joined(results, "four_full_"), renders))),
        "together_searched": float(np.nanmean(searched)),
        "together_strength": results["search"]["strength"],
        "together_gain": float(np.nanmean(more)),
        "together_gain_lower": interval([*more[~np.isnan(more)]])[0],
    }


def _truth(family: Family, judge: Judge, count: int, _: Mapping[str, Result]) -> Result:
    """What true pictures score, and what the autoencoder makes of them."""
    case = hinted_scenes(count, HINT_SEED)
    return {
        "renders": scores(judge, case, case.truth.picture),
        "reconstructed": scores(judge, case, reconstructed(family, case.truth.picture)),
    }


def _drawn(
    family: Family,
    judge: Judge,
    case: partial[Hinted],
    at: int,
    nets: Mapping[str, tuple[ControlNetModel, float]],
    _: Mapping[str, Result],
    turned: int = 0,
) -> Result:
    scenes = case()
    return {"scores": scores(judge, scenes, scenes.drawn(family, nets, 1000 + at, turned))}


def _search(
    family: Family,
    judge: Judge,
    nets: Nets,
    count: int,
    strengths: tuple[float, ...],
    _: Mapping[str, Result],
) -> Result:
    """The strength for all nets at once that is best on scenes which no figure is of."""
    case = hinted_scenes(count, SEARCH_SEED)
    renders = scores(judge, case, case.truth.picture)
    found: dict[float, float] = {}
    for strength in strengths:
        every = {kind: (net, strength) for kind, net in nets.items()}
        given = scores(judge, case, case.drawn(family, every, 1))
        found[strength] = float(np.nanmean(_total(given, renders)))
    return {"strength": max(found, key=lambda s: found[s]), "scores": found}


def _together(plain: partial[Result], nets: Nets, done: Mapping[str, Result]) -> Result:
    strength = float(done["search"]["strength"])
    return plain({kind: (net, strength) for kind, net in nets.items()}, done)


def _total(given: Scores, renders: Scores) -> np.ndarray:
    """[N]: mean over kinds of a picture's score, as a share of what true pictures score."""
    shares = [np.asarray(given[kind]) / np.nanmean(renders[kind]) for kind in KINDS]
    return np.nanmean(shares, 0)


def _joined(results: Mapping[str, Result], start: str) -> Scores:
    """Scores of all blocks whose names start so, in order; empty if there is none."""
    names = sorted((n for n in results if n.startswith(start)), key=lambda n: int(n[len(start) :]))
    if not names:
        return {}
    return {
        kind: [value for name in names for value in results[name]["scores"][kind]] for kind in KINDS
    }
