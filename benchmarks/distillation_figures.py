"""Part of `distillation`: adherence of every row, what one has over another, and intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from .distillation_draw import COMPACT, FULL, KINDS, PLAIN, TEACHER, TEACHER_STEPS, Row, Scores
from .statistics import Floats, ends, resamples

FEW, FEWEST = 4, 2  # steps that goals are set for
TWO_PHASE, DIRECT = "two_phase", "direct"
CLOSE = {Row(side, FEW, nets) for side in (TWO_PHASE, DIRECT) for nets in (PLAIN, FULL)}
Figures = dict[str, float]


def adherence_of(scores: Scores, renders: Scores, weights: Floats) -> Floats:
    """[R]: of every row of weights over scenes, 0..1.

    Share of things with the right shape and colour; with hints the mean of that and of how well
    the picture keeps to them, which is the mean over kinds of what it scores as a share of what
    true pictures of these scenes score.
    """
    told = (weights @ np.asarray(scores["right"])) / (weights @ np.asarray(scores["things"]))
    kept = [
        _mean(scores[kind], weights) / _mean(renders[kind], weights)
        for kind in KINDS
        if kind in scores
    ]
    return (told + np.mean(kept, 0)) / 2 if kept else told


def _mean(values: Iterable[float], weights: Floats) -> Floats:
    """Of the scenes that have a value."""
    given = np.asarray([*values], float)
    there = ~np.isnan(given)
    return (weights @ np.where(there, given, 0.0)) / (weights @ there)


def distillation_figures(found: Mapping[Row, Scores], renders: Mapping[str, Scores]) -> Figures:
    """All that can be said of the rows that are there.

    Each is compared on as many scenes as all of them have; the `CLOSE` ones with each other on all
    of theirs.

    Args:
        renders: what true pictures score, without and with hints (`PLAIN`, `FULL`).
    """
    counts = {
        nets: min(len(scores["things"]) for row, scores in found.items() if row.nets == nets)
        for nets in {row.nets for row in found}
    }
    spread = {
        row: _spread(first(scores, counts[row.nets]), renders) for row, scores in found.items()
    }
    close = {row: _spread(scores, renders) for row, scores in found.items() if row in CLOSE}
    figures: Figures = {}
    for row, values in spread.items():
        figures |= with_ends(f"adherence_{row.name}", values)
    for nets, scores in renders.items():
        figures[f"judge_told_{nets}"] = sum(scores["right"]) / sum(scores["things"])
        figures |= {
            f"judge_{kind}": float(np.nanmean(scores[kind])) for kind in KINDS & scores.keys()
        }
    figures |= _ratios(spread) | _gains(spread, close)
    compact, full = (Row(TWO_PHASE, FEW, nets) for nets in (COMPACT, FULL))
    if compact in spread and full in spread:
        figures |= with_ends("compact_control_ratio", ratio(spread[compact], spread[full]))
    return figures


def _spread(scores: Scores, renders: Mapping[str, Scores]) -> Floats:
    """The figure, then the same of every resample of scenes."""
    hinted = any(kind in scores for kind in KINDS)
    count = len(scores["things"])
    true = first(renders[FULL if hinted else PLAIN], count)
    return adherence_of(scores, true, resamples(count))


def first(scores: Scores, count: int) -> Scores:
    """Of so many scenes."""
    return {name: values[:count] for name, values in scores.items()}


def _ratios(spread: Mapping[Row, Floats]) -> Figures:
    """Two-phase against the teacher at 20 steps, at every number of steps."""
    figures: Figures = {}
    for steps in sorted({row.steps for row in spread if row.side == TWO_PHASE}):
        name = f"adherence_ratio_{steps}step"
        own = _both(spread, lambda nets, at=steps: Row(TWO_PHASE, at, nets))
        best = _both(spread, lambda nets: Row(TEACHER, TEACHER_STEPS, nets))
        figures |= _compared(name, own, best, ratio)
    return figures


def _gains(spread: Mapping[Row, Floats], close: Mapping[Row, Floats]) -> Figures:
    """What the recipe has over each other way, at four steps."""
    figures: Figures = {}
    for name, side, rows in (
        ("two_phase", DIRECT, close),
        ("larger_teacher", "self_taught", spread),
        ("over_fewer_steps", TEACHER, spread),
    ):
        own = _both(rows, lambda nets: Row(TWO_PHASE, FEW, nets))
        other = _both(rows, lambda nets, side=side: Row(side, FEW, nets))
        figures |= _compared(f"{name}_gain", own, other, lambda a, b: a - b)
    return figures


def _both(spread: Mapping[Row, Floats], row: Callable[[str], Row]) -> dict[str, Floats]:
    """Without and with hints, as far as they were drawn."""
    return {nets: spread[row(nets)] for nets in (PLAIN, FULL) if row(nets) in spread}


def _compared(
    name: str,
    own: Mapping[str, Floats],
    other: Mapping[str, Floats],
    by: Callable[[Floats, Floats], Floats],
) -> Figures:
    """Without and with hints, and under the plain name the lower of the two."""
    each = {nets: by(own[nets], other[nets]) for nets in own if nets in other}
    each = {nets: values for nets, values in each.items() if np.isfinite(values[0])}
    figures: Figures = {}
    for nets, values in each.items():
        figures |= with_ends(f"{name}_{nets}", values)
    if len(each) == 2:
        worse = min(each, key=lambda nets: float(each[nets][0]))
        figures[name] = float(each[worse][0])
        figures[f"{name}_lower"] = min(ends(values[1:])[0] for values in each.values())
    return figures


def ratio(own: Floats, other: Floats) -> Floats:
    """Not finite where the other is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return own / other


def with_ends(name: str, values: Floats) -> Figures:
    """A figure and its interval; none if it is not finite."""
    if not np.isfinite(values[0]):
        return {}
    lower, upper = ends(values[1:])
    return {name: float(values[0]), f"{name}_lower": lower, f"{name}_upper": upper}
