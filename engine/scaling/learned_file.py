"""Learned scales as a JSON file, made by `tandem calibrate scales`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from ..errors import BadInput
from .learned import NAMES, Learned


class LearnedForm(BaseModel):
    """What was learned, of what, and what it is worth.

    sets, conditions: how many it was fitted to.
    rule_score, learned_score: mean scores of photos that it was not fitted to.
    gain: 95 % interval of the difference; None: of one photo alone, or not known.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    v: Literal[1] = 1
    made_of: str
    names: tuple[str, ...] = NAMES
    mean: tuple[float, ...]
    spread: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float
    sets: int
    conditions: int
    held_out_sets: int
    rule_score: float
    learned_score: float
    held_out_photos: int | None = None
    gain: tuple[float, float] | None = None


def read_learned(path: Path) -> Learned:
    """
    Raises:
        BadInput: the file is missing, is not of this form, or of features that are not ours.
    """
    do = f"make it again: {path}"
    try:
        form = LearnedForm.model_validate_json(path.read_text("utf-8"))
    except OSError as error:
        raise BadInput("learned scales", f"{type(error).__name__}: {error}", do) from error
    except (ValidationError, UnicodeDecodeError) as error:
        raise BadInput("learned scales", str(error).splitlines()[0], do) from error
    if form.names != NAMES:
        raise BadInput("features of learned scales", form.names, do)
    return Learned(form.mean, form.spread, form.weights, form.bias)


def write_learned(path: Path, form: LearnedForm) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(form.model_dump_json(indent=1) + "\n", "utf-8")
    partial.replace(path)
