"""Scales that are measured on the first steps against fixed ones, and calls that they save.

Sets of conditions on held-out scenes: complementary, redundant, conflicting, with an empty one,
a noisy one, one of another photo. Pictures are drawn by ComfyUI's sampler and scored against what
is true of the scene: mean of the scores that apply (edges, depth, segments, joints, prompt), each
as a share of what true renders score.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch

from ..training.files import JUDGE, SHIPPED, full_files, open_judge
from .parts import Part, Result, finish
from .scaling_batches import draw_given
from .scaling_draw import Studio, judged, told
from .scaling_figures import arm_figures, check_figures, joined, search_figures, time_figures
from .scaling_probe import cost, pushes_of_steps, rank_correlation, times
from .scaling_score import renders_of, total
from .scaling_search import best_fixed, searched
from .scaling_sets import ARMS, ESTIMATED, Block, block_of_sets

# Scenes reported on; those on which fixed scales are chosen; those of every run.
SEED, TUNING_SEED, CHECKED_SEED = 3_000_017, 3_000_018, 3_000_019
CHECKED, CHECKED_DRAWN, CHECKED_STEPS = 30, 6, 8  # sets that every run decides on, and draws
BLOCK = 12  # sets a part: two of each family
GIVEN_BLOCK = 120  # of those drawn at given strengths: many ask the same, and share batches
FIXED = "fixed"
HERE = Path(__file__).parent
# What pictures and their scores depend on; how figures are made of them is not among it.
ROOMS = ("engine/control", "engine/sampling", "engine/scaling")
DRAWING = ("", "_batches", "_draw", "_probe", "_score", "_search", "_sets")
SCORING = ("captions", "figure", "hints", "judge", "measures", "render", "scenes", "shapes",
           "words")  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """How many sets, steps and trials."""

    sets: int = 600
    steps: int = 20
    searched: int = 60  # of them, those whose best scales are searched
    search_steps: int = 8
    most_tried: int = 20
    tuned: int = 24  # sets of other scenes on which the best fixed scales are chosen
    fixed: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0)
    repeated: int = 60  # sets that are estimated again with other noise
    noises: int = 5
    probed: int = 24  # sets whose pushes are measured on every step
    timed: int = 24  # sets drawn by turns at 1.0 and as estimated
    rounds: int = 9
    folder: str = ""  # of the models; the shipped ones if not given

    @property
    def files(self) -> Path:
        return Path(self.folder) if self.folder else SHIPPED


QUICK = Settings(sets=0, searched=0, tuned=0, repeated=0, probed=0, timed=0, rounds=0)
EXACT = ("files_crc32",)
NEAR = {  # another processor may flip a decision
    "checked_scale": 0.03,
    "checked_pruned": 2.0,
    "checked_empty_pruned": 0.0,
    "checked_calls": CHECKED_STEPS,
    "checked_score": 0.05,
}


def measure(settings: Settings, keep: Path | None = None) -> dict[str, float]:
    """All figures, from parts kept in `keep`."""
    results = finish(parts(settings), keep)
    figures = {"files_crc32": float(_crc(full_files(settings.files)))}
    figures |= check_figures(results["checked"])
    if settings.sets:
        figures |= arm_figures(results)
    if settings.searched:
        figures |= search_figures(results)
    if settings.repeated:
        same = np.equal(_values(results, "again_"), 1)  # on every noise
        figures["same_decision_pct"] = 100 * float(np.mean(same))
    if settings.probed:
        figures |= _probe_figures(results)
    if settings.timed:
        figures |= time_figures(results)
    if settings.rounds:
        found = results["cost"]
        figures["estimator_cost_pct_of_step"] = 100 * found["estimator_s"] / found["step_s"]
        figures["step_s"] = found["step_s"]
    return figures


def parts(settings: Settings) -> dict[str, Part]:
    """What a full run consists of, each part good for the code and files that it was made from."""
    torch.set_num_threads(1)  # two threads of one small picture wait for each other
    code = [path for room in ROOMS for path in sorted((HERE.parent / room).glob("*.py"))]
    code += [HERE / f"scaling{name}.py" for name in DRAWING]
    code += [JUDGE.parent / f"{name}.py" for name in SCORING]
    made_of = _crc([*full_files(settings.files), JUDGE, *code])
    key = f"{made_of:08x} {settings.sets} {settings.steps}"
    studio = partial(_studio, settings.files)
    made = {"checked": Part(partial(_checked, studio), key)}
    for at in range(0, settings.sets, BLOCK):
        block = partial(_block, settings.sets, at)
        made[f"truth_{at}"] = Part(partial(_truth, block), key)
        estimated = partial(_estimated, studio, block, settings.steps)
        made[f"{ESTIMATED}_{at}"] = Part(estimated, key)
    for at in range(0, settings.sets, GIVEN_BLOCK):
        block = partial(_block, settings.sets, at, GIVEN_BLOCK)
        for arm in (*ARMS, FIXED):
            needs = (FIXED,) if arm == FIXED else ()
            given = partial(_given, studio, block, arm, settings.steps)
            chosen = f"{key} {settings}" if arm == FIXED else key
            made[f"{arm}_{at}"] = Part(given, chosen, needs)
    truths = tuple(name for name in made if name.startswith("truth_"))
    if settings.sets:
        tuned = partial(block_of_sets, settings.tuned, TUNING_SEED, slice(None))
        made[FIXED] = Part(partial(_fixed, studio, tuned, settings), f"{key} {settings}", truths)
    for at in range(0, settings.searched, BLOCK):
        search = partial(_searched, studio, partial(_block, settings.sets, at), settings)
        made[f"search_{at}"] = Part(search, f"{key} {settings}", truths)
    for at in range(0, settings.repeated, BLOCK):
        again = partial(_again, studio, partial(_block, settings.sets, at), settings.noises)
        made[f"again_{at}"] = Part(again, f"{key} {settings.noises}")
    for at in range(0, settings.probed, BLOCK):
        probe = partial(_probed, studio, partial(_block, settings.sets, at), settings.steps)
        made[f"probe_{at}"] = Part(probe, key)
    for at in range(0, settings.timed, BLOCK):
        timed = partial(_timed, studio, partial(_block, settings.sets, at), settings.steps)
        made[f"timed_{at}"] = Part(timed, key)
    if settings.rounds:
        first = partial(_block, settings.sets, 0)
        made["cost"] = Part(lambda _: cost(studio(), first().sets[0], settings.rounds), key)
    return made


@cache
def _studio(folder: Path) -> Studio:
    return Studio(folder)


def _block(count: int, at: int, size: int = BLOCK) -> Block:
    return block_of_sets(count, SEED, slice(at, min(at + size, count)))


def _checked(studio: Callable[[], Studio], _: Mapping[str, Result]) -> Result:
    """The same few decisions and pictures in every run."""
    block = block_of_sets(CHECKED, CHECKED_SEED, slice(None))
    rows = [
        {
            "family": one.family,
            "good": [asked.good for asked in one.asked],
            "scales": [row.scale for row in studio().estimate(one, one.number)],
        }
        for one in block.sets
    ]
    few = block_of_sets(CHECKED, CHECKED_SEED, slice(CHECKED_DRAWN))
    judge = open_judge()
    renders = renders_of({"truth_": {"scores": judged(judge, few, few.truth.picture)}})
    drawn = [studio().draw(one, None, CHECKED_STEPS, one.number) for one in few.sets]
    scores = judged(judge, few, torch.cat([one.picture for one in drawn]))
    calls = sum(row.calls or 0 for one in drawn for row in one.rows)
    totals = [total(one.judged, each, renders) for one, each in zip(few.sets, scores, strict=True)]
    return {"sets": rows, "calls": calls, "score": float(np.mean(totals))}


def _truth(block: Callable[[], Block], _: Mapping[str, Result]) -> Result:
    found = block()
    return {"scores": judged(open_judge(), found, found.truth.picture)}


def _estimated(
    studio: Callable[[], Studio], block: Callable[[], Block], steps: int, _: Mapping[str, Result]
) -> Result:
    found = block()
    drawn = [studio().draw(one, None, steps, one.number) for one in found.sets]
    return {"sets": told(open_judge(), found, drawn)}


def _given(
    studio: Callable[[], Studio],
    block: Callable[[], Block],
    arm: str,
    steps: int,
    done: Mapping[str, Result],
) -> Result:
    found = block()
    strengths = [
        [done[FIXED][asked.net] for asked in one.asked]
        if arm == FIXED
        else ARMS[arm](len(one.asked))
        for one in found.sets
    ]
    drawn = draw_given(studio(), found.sets, strengths, steps)
    return {"sets": told(open_judge(), found, drawn)}


def _fixed(
    studio: Callable[[], Studio],
    tuned: Callable[[], Block],
    settings: Settings,
    done: Mapping[str, Result],
) -> Result:
    return best_fixed(
        studio(),
        open_judge(),
        tuned(),
        renders_of(done),
        settings.search_steps,
        settings.fixed,
        settings.most_tried,
    )


def _searched(
    studio: Callable[[], Studio],
    block: Callable[[], Block],
    settings: Settings,
    done: Mapping[str, Result],
) -> Result:
    steps, most = settings.search_steps, settings.most_tried
    rows = searched(studio(), open_judge(), block(), renders_of(done), steps, most)
    return {"sets": rows}


def _again(
    studio: Callable[[], Studio], block: Callable[[], Block], noises: int, _: Mapping[str, Result]
) -> Result:
    """Of each set, the share of noises that lead to the decision most of them lead to."""
    shares: list[float] = []
    for one in block().sets:
        kept = [
            tuple(row.pruned for row in studio().estimate(one, 1000 * one.number + noise))
            for noise in range(noises)
        ]
        shares.append(max(kept.count(decision) for decision in kept) / noises)
    return {"values": shares}


def _probed(
    studio: Callable[[], Studio], block: Callable[[], Block], steps: int, _: Mapping[str, Result]
) -> Result:
    return {"sets": [pushes_of_steps(studio(), one, steps) for one in block().sets]}


def _timed(
    studio: Callable[[], Studio], block: Callable[[], Block], steps: int, _: Mapping[str, Result]
) -> Result:
    return {"sets": [times(studio(), one, steps) for one in block().sets]}


def _probe_figures(results: Mapping[str, Result]) -> dict[str, float]:
    """The second step, which decides, and the first against the mean of all: of all conditions of
    all sets, and set by set.
    """
    sets = joined(results, "probe_")
    whole = [np.mean(steps, 0) for steps in sets]
    figures: dict[str, float] = {}
    for name, step in (("probe", 1), ("first_probe", 0)):
        seen = [np.asarray(steps[step]) for steps in sets]
        own = [
            rank_correlation(a.tolist(), b.tolist())
            for a, b in zip(seen, whole, strict=True)
            if len(a) > 2
        ]
        every = rank_correlation(np.concatenate(seen).tolist(), np.concatenate(whole).tolist())
        figures[f"{name}_rank_correlation"] = every
        figures[f"{name}_rank_correlation_in_sets"] = float(np.mean(own))
    return figures


def _values(results: Mapping[str, Result], start: str) -> list[float]:
    return [v for name in results if name.startswith(start) for v in results[name]["values"]]


def _crc(paths: Sequence[Path]) -> int:
    found = 0
    for path in paths:
        found = zlib.crc32(path.read_bytes(), found)
    return found
