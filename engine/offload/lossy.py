"""How far hints move where photos went up with a loss: measured against the exact photo, here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from ..conditions import Condition, Hint, detect, obstacle
from .prices import price_s
from .workers import WorkerEntry

MOST_S = 0.5  # expected, of making the exact hint here: more would cost what the worker saved
FAR = 1 / 8  # of the whole range: a pixel that moved further is counted

Levels = NDArray[np.uint8 | np.uint16]


def shift(exact: Levels, found: Levels) -> tuple[float, float]:
    """Percent of the whole range that the levels moved by on average; percent of them moved far.

    Args:
        exact, found: of one shape and type.
    """
    most = np.iinfo(exact.dtype).max
    moved = np.abs(exact.astype(np.float64) - found.astype(np.float64)) / most
    return 100 * float(moved.mean()), 100 * float((moved > FAR).mean())


def loss_notes(hints: Iterable[Hint], workers: Mapping[str, WorkerEntry]) -> tuple[str, ...]:
    """A line for each detector that a lossy worker ran, about the first of its hints."""
    seen: dict[tuple[str, str], Hint] = {}
    for hint in hints:
        entry = workers.get(hint.lane)
        if entry is not None and entry.lossy and hint.pictures:
            seen.setdefault((hint.lane, hint.condition.request.detector), hint)
    return tuple(_note(hint) for hint in seen.values())


def _note(hint: Hint) -> str:
    condition = hint.condition
    start = f"{condition.request.detector} saw a lossy photo on {hint.lane}: "
    if (reason := _unmeasured(condition)) is not None:
        return f"{start}how far its hint moved was not measured ({reason})"
    try:
        exact = detect(condition.request, condition.photos[0])
    except Exception as error:  # whatever a detector raises here: the run itself went well
        return f"{start}how far its hint moved was not measured ({type(error).__name__} here)"
    mean, far = shift(exact, hint.pictures[0])
    return f"{start}its levels moved by {mean:.2f} % on average, {far:.1f} % of them by over 1/8"


def _unmeasured(condition: Condition) -> str | None:
    if condition.source is not None:
        return "it was made of another hint"
    if obstacle(condition.request.detector) is not None:
        return "it cannot run here"
    seconds = price_s(condition) / len(condition.photos)
    return f"it takes about {seconds:.1f} s here" if seconds > MOST_S else None
