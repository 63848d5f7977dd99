"""What a worker says it can do, read without trusting it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import BadInput

MOST_BYTES = 2**20
LONGEST_TEXT = 200
MOST_DETECTORS = 256


@dataclass(frozen=True, slots=True)
class DetectorState:
    """One detector of a worker.

    `seconds` is the measured median of a call, None before the first; `seconds_per_mpixel` is of
    the hint's pixels, and known from the worker's start.
    """

    state: str  # "loaded", "on disk", "missing"
    seconds: float | None
    seconds_per_mpixel: float | None
    missing: str | None = None  # why, if it is

    @property
    def usable(self) -> bool:
        return self.state != "missing"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """One worker's answer, checked, and what the round trip took."""

    version: str
    min_client: str
    instance: str
    detectors: Mapping[str, DetectorState]
    slots: int
    waiting: int
    running: int
    processes: int  # children that live
    expected_wait_s: float
    codecs: tuple[str, ...]
    decode_s_per_mpixel: Mapping[str, float]
    photo_bytes: int
    photo_pixels: int
    hint_pixels: int
    process_memory_bytes: float | None  # most of one of its processes; None: it does not say
    free_memory_bytes: float | None
    round_trip_s: float


def read_capabilities(body: bytes, round_trip_s: float) -> Capabilities:
    """The answer's fields that this client knows.

    Raises:
        BadInput: it is no JSON, or a field is missing or of another kind.
    """
    try:
        form: Any = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadInput("capabilities", "no JSON", "is this a Tandem worker?") from error
    if _table(form, "").get("api") != "v1":
        raise BadInput("api", form.get("api"), "need v1")
    detectors = list(_table(form.get("detectors"), "detectors").items())[:MOST_DETECTORS]
    queue, limits = _table(form.get("queue"), "queue"), _table(form.get("limits"), "limits")
    codecs = _table(form.get("codecs"), "codecs")
    decode = _table(codecs.get("decode_s_per_mpixel"), "decode_s_per_mpixel")
    kinds = codecs.get("photo")
    if not isinstance(kinds, list):
        raise BadInput("codecs.photo", type(kinds).__name__, "need a list")
    return Capabilities(
        version=_text(form, "version"),
        min_client=_text(form, "min_client"),
        instance=_text(form, "instance"),
        detectors={_short(name): _detector(_table(facts, name)) for name, facts in detectors},
        slots=_whole(form, "slots"),
        waiting=_whole(queue, "waiting"),
        running=_whole(queue, "running"),
        processes=_whole(queue, "processes"),
        expected_wait_s=_number(queue, "expected_wait_s"),
        codecs=tuple(_short(str(kind)) for kind in kinds[:16]),
        decode_s_per_mpixel={_short(name): _number(decode, name) for name in list(decode)[:16]},
        photo_bytes=_whole(limits, "photo_bytes"),
        photo_pixels=_whole(limits, "photo_pixels"),
        hint_pixels=_whole(limits, "hint_pixels"),
        process_memory_bytes=_number_or_none(limits, "process_memory_bytes"),
        free_memory_bytes=_number_or_none(limits, "free_memory_bytes"),
        round_trip_s=round_trip_s,
    )


def _detector(facts: Mapping[str, Any]) -> DetectorState:
    measured = {key: _number_or_none(facts, key) for key in ("seconds", "seconds_per_mpixel")}
    missing = _short(str(facts["missing"])) if "missing" in facts else None
    return DetectorState(_text(facts, "state"), **measured, missing=missing)


def _table(value: object, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadInput(name or "capabilities", type(value).__name__, "need a JSON object")
    return value


def _text(form: Mapping[str, Any], key: str) -> str:
    value = form.get(key)
    if not isinstance(value, str):
        raise BadInput(key, value, "need a text")
    return _short(value)


def _short(text: str) -> str:
    """Printable and not long: it will be shown."""
    return "".join(letter for letter in text[:LONGEST_TEXT] if letter.isprintable())


def _number(form: Mapping[str, Any], key: str) -> float:
    value = form.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadInput(key, value, "need a number")
    if not (math.isfinite(value) and 0 <= value < 1e15):
        raise BadInput(key, value, "need a finite number that is not negative")
    return float(value)


def _number_or_none(form: Mapping[str, Any], key: str) -> float | None:
    return None if form.get(key) is None else _number(form, key)


def _whole(form: Mapping[str, Any], key: str) -> int:
    return int(_number(form, key))
