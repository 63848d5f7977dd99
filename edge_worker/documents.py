"""What the OpenAPI document says of answers that are no JSON of a route's own."""

from __future__ import annotations

from typing import Any

from ..engine.wire.problems import CODES, PROBLEM_TYPE

_FORM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code", "retryable"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "enum": sorted(CODES)},
        "retryable": {"type": "boolean"},
    },
}


def _document(status: int) -> dict[str, Any]:
    codes = ", ".join(code for code, (of, _) in CODES.items() if of == status)
    return {"description": f"Problem: {codes}", "content": {PROBLEM_TYPE: {"schema": _FORM}}}


PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: _document(status) for status in sorted({of for of, _ in CODES.values()})
}

HINT_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The hint as PNG; Server-Timing tells where the time went.",
        "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}},
    }
}

EVENTS_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A stream of server-sent events that ends with `end`.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}

METRICS_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Prometheus text format.",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    }
}
