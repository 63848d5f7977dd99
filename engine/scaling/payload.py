"""The form of scales as nodes show them: the editor draws it, API users read it from `/history`.

docs/tandem_scales.schema.json is its JSON schema. A change that readers have to know of gets a new
`v`; they ignore keys that they do not know.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from .ledger import Row

MOST_ROWS = 64  # it goes into every history entry
MOST_LETTERS = 200

Text = Annotated[str, Field(max_length=MOST_LETTERS)]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ScaleForm(_Form):
    """One condition, in the order of the chain."""

    cond: Text
    strength: float = Field(description="what was asked for, the upper bound of scale - carried")
    scale: float = Field(description="what is used; 0: its ControlNet is not called")
    carried: float = Field(
        description="part of the scale that stands for conditions that it covers and that were "
        "left out, never more than their strengths"
    )
    coarse: float | None = Field(
        description="the scale at the UNet's coarse resolutions; null: the same there"
    )
    contribution: float | None = Field(
        description="size of its push, as a share of the UNet's features, beyond what stronger "
        "conditions push too; null: not measured"
    )
    cover: float | None = Field(description="share of its push that stronger conditions supply")
    agreement: float | None = Field(
        description="with the others, as a share of the one that agrees most; null: not measured, "
        "or fewer than three conditions"
    )
    pruned: bool
    reason: Text | None = Field(description="why it was lowered or pruned")
    calls: int | None = Field(
        description="of its ControlNet in the run; null: before the run, left out of it, or "
        "not known, as another pack calls it"
    )
    reused: int = Field(description="how often what it had said before was used again")
    ended: bool = Field(description="whether it came to say next to nothing: not called after")


class ScalesForm(_Form):
    """What became of every condition: before a run the bounds, after it what was measured."""

    v: Literal[1]
    rows: list[ScaleForm] = Field(max_length=MOST_ROWS)
    note: Text | None = Field(default=None, description="why there are no rows, and what to do")


def scales_payload(rows: Iterable[Row]) -> dict[str, Any]:
    """In ScalesForm."""
    forms = [
        ScaleForm(
            cond=_cut(row.scale.cond),
            strength=row.scale.strength,
            scale=row.scale.scale,
            carried=row.scale.carried,
            coarse=row.scale.coarse,
            contribution=row.scale.contribution,
            cover=row.scale.cover,
            agreement=row.scale.agreement,
            pruned=row.scale.pruned,
            reason=None if row.scale.reason is None else _cut(row.scale.reason),
            calls=row.calls,
            reused=row.reused,
            ended=row.ended,
        )
        for row in rows
    ]
    return ScalesForm(v=1, rows=forms[:MOST_ROWS]).model_dump()


def nothing_known(why: str) -> dict[str, Any]:
    """In ScalesForm: no rows, and what a person can do about it."""
    return ScalesForm(v=1, rows=[], note=_cut(why)).model_dump()


def _cut(text: str) -> str:
    return text if len(text) <= MOST_LETTERS else text[: MOST_LETTERS - 3] + "..."
