"""What requests carry: bodies and headers, checked before anything is done."""

from __future__ import annotations

from typing import Annotated

from fastapi import Header, Path
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from ..engine.conditions.request import LEAST_RESOLUTION_PX, MOST_RESOLUTION_PX
from ..engine.wire.pacing import LEAST_BYTES_PER_S
from ..engine.wire.protocol import (
    BLOB_ID,
    DEADLINE_HEADER,
    IDEMPOTENCY_HEADER,
    JOB_HEADER,
    JOB_ID,
    RATE_HEADER,
)

LONGEST_DEADLINE_S = 3600.0
MOST_PARTS = 16

BlobId = Annotated[str, Path(pattern=f"^{BLOB_ID.pattern}$", description="sha256 of the body")]
JobId = Annotated[str, Path(pattern=f"^{JOB_ID.pattern}$")]
Deadline = Annotated[
    FiniteFloat | None,
    Header(alias=DEADLINE_HEADER, gt=0, le=LONGEST_DEADLINE_S, description="seconds left"),
]
Rate = Annotated[
    FiniteFloat | None,
    Header(alias=RATE_HEADER, ge=LEAST_BYTES_PER_S, le=1e12, description="bytes a second"),
]
CallId = Annotated[str | None, Header(alias=JOB_HEADER, pattern=f"^{JOB_ID.pattern}$")]
Key = Annotated[str | None, Header(alias=IDEMPOTENCY_HEADER, pattern="^[A-Za-z0-9_.:-]{1,128}$")]
LastEvent = Annotated[int | None, Header(alias="Last-Event-ID", ge=0, le=10**6)]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Asked(_Form):
    """How a detector is to run."""

    params: dict[str, FiniteFloat] = Field(default_factory=dict, max_length=32)
    resolution: int = Field(512, ge=LEAST_RESOLUTION_PX, le=MOST_RESOLUTION_PX)


class Wanted(Asked):
    """A detector's run on one photo."""

    photo_sha256: str = Field(pattern=f"^{BLOB_ID.pattern}$")


class WantedPart(Asked):
    """One detector of a job."""

    detector: str = Field(max_length=60)


class WantedJob(_Form):
    """Several detectors on one photo, in the order they are wanted."""

    photo_sha256: str = Field(pattern=f"^{BLOB_ID.pattern}$")
    parts: list[WantedPart] = Field(min_length=1, max_length=MOST_PARTS)
