"""The form of a plan and its run as nodes show it: API users read it from `/history`.

docs/tandem_plan.schema.json is its JSON schema. A change that readers have to know of gets a new
`v`; they ignore keys that they do not know.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from .plan import Method
from .timeline import Kind
from .trace import State, Status

MOST_ROWS = 64  # it goes into every history entry
MOST_SPANS = 8 * MOST_ROWS
MOST_LETTERS = 200

Text = Annotated[str, Field(max_length=MOST_LETTERS)]
Lines = Annotated[list[Text], Field(max_length=MOST_ROWS)]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SpanForm(_Form):
    """One stretch of work of a lane: "local" or a worker's alias."""

    what: Text = Field(description="a row's cond, or a photo")
    lane: Text
    kind: Kind
    start_s: float
    end_s: float


class TimelineForm(_Form):
    """Seconds count from the begin of the run."""

    version: Literal[1]
    makespan_s: float = Field(description="until the last hint is home")
    spans: list[SpanForm] = Field(max_length=MOST_SPANS)


class BaselineForm(_Form):
    """What one side alone would take; null where a pin or a missing detector forbids it."""

    all_local_s: float | None
    all_edge_s: float | None


class RowForm(_Form):
    """One condition, in the order of the chain. `worker` null: this machine."""

    cond: Text
    worker: Text | None
    status: Literal["planned"] | Status = Field(
        description="planned: not run yet. cached: made in an earlier run. moved: its worker was "
        "lost or late, another lane finished it"
    )
    note: Text | None
    predicted_s: float = Field(description="of computing and loading, without transfers")
    actual_s: float | None = Field(description="of the same; null before the run")


class LinkForm(_Form):
    """A worker's link as it was planned with, give or take the share `spread`."""

    worker: Text
    up_bytes_per_s: float
    down_bytes_per_s: float
    latency_s: float
    spread: float


class PlanForm(_Form):
    """A plan, what it was predicted to take, and what its run took."""

    v: Literal[1]
    predicted: TimelineForm
    actual: TimelineForm | None = Field(description="null before the run")
    baseline: BaselineForm
    method: Method = Field(description="how the plan was found")
    bandwidth: Literal["full", "shares"]
    shares: dict[str, float] = Field(description="of the link, by condition; only with shares")
    lower_bound_s: float = Field(description="no plan is shorter")
    rows: list[RowForm] = Field(max_length=MOST_ROWS)
    decides: Text = Field(description="what the makespan hangs on, in words")
    links: list[LinkForm] = Field(max_length=MOST_ROWS)
    rough: Lines = Field(description="planned by a price alone: nothing was measured yet")
    notes: Lines
    warnings: Lines


class StandingForm(_Form):
    """One condition while the lanes run. `worker` null: this machine."""

    cond: Text
    worker: Text | None
    state: State
    seconds: float = Field(description="since a lane took it; once it is done, all that it took")


class ProgressForm(_Form):
    """How far a run is; the message has `node` and `prompt_id` beside."""

    v: Literal[1]
    seconds: float = Field(description="since it began")
    done: int
    total: int
    rows: list[StandingForm] = Field(max_length=MOST_ROWS)
