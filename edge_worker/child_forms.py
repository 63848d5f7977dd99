"""What a child may say: every field of its messages, checked before the server believes it.

A child looks at strangers' pictures and may be taken over by one; what it says is no more to be
trusted than they are.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, StringConstraints, ValidationError

from ..engine.wire.codecs import photo_type
from .frames import BrokenPipe, Message

_Text = Annotated[str, StringConstraints(max_length=2000)]
_Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,59}$")]
_Number = int | FiniteFloat  # in this order: a whole number stays one
_Seconds = Annotated[FiniteFloat, Field(ge=0, le=1e6)]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Param(_Form):
    type: Literal["integer", "number"]
    default: _Number
    minimum: _Number
    maximum: _Number
    description: _Text


class _Detector(_Form):
    title: _Text
    about: _Text
    polarity: _Text
    channels: Literal[1, 3]
    bits: Literal[8, 16]
    licence: _Text
    commercial: bool
    params: dict[_Name, _Param] = Field(max_length=64)
    prior_s_per_mpixel: _Seconds
    state: Literal["loaded", "on disk", "missing"]
    missing: _Text = ""
    s_per_mpixel: _Seconds = 0.0


class _Ready(_Form):
    say: Literal["ready"]
    pid: int
    detectors: dict[_Name, _Detector] = Field(max_length=256)
    decode_s_per_mpixel: dict[Literal["webp", "raw"], _Seconds]


class _Spent(_Form):
    load: _Seconds
    decode: _Seconds
    compute: _Seconds
    encode: _Seconds


class _Done(_Form):
    say: Literal["done"]
    task: str
    seconds: _Spent
    pixels: int = Field(ge=1)


def read_ready(message: Message) -> dict[str, Any]:
    """What a child says it can do: `detectors` and `decode_s_per_mpixel`.

    Raises:
        BrokenPipe: a field is missing, unknown, of another kind or out of range.
    """
    try:
        form = _Ready.model_validate(message)
    except ValidationError as error:
        raise _broken(error) from error
    return form.model_dump(include={"detectors", "decode_s_per_mpixel"}, exclude_unset=True)


def read_done(
    message: Message, png: bytes, task: str, most_pixels: int
) -> tuple[dict[str, float], int]:
    """The seconds and the pixels of a finished task.

    Raises:
        BrokenPipe: as above; another task; more pixels than were allowed; no PNG.
    """
    try:
        form = _Done.model_validate(message)
    except ValidationError as error:
        raise _broken(error) from error
    if form.task != task or form.pixels > most_pixels:
        raise BrokenPipe("answer of a child", (form.task[:20], form.pixels), "not what was asked")
    if photo_type(png[:12]) != "image/png":
        raise BrokenPipe("hint of a child", bytes(png[:8]), "need PNG")
    return form.seconds.model_dump(), form.pixels


def _broken(error: ValidationError) -> BrokenPipe:
    first = error.errors(include_input=False, include_url=False)[0]
    place = ".".join(str(part)[:40] for part in first["loc"])
    return BrokenPipe("message of a child", f"{place}: {first['msg']}", "it is ended")
