"""What a node shows: everything that goes to the editor or the history passes through here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from ..engine.errors import BadInput

MOST_CHARACTERS = 200  # what is shown goes into every history entry


def json_safe(value: Any) -> Any:
    """The value as plain JSON: non-finite numbers become null, long strings are cut.

    Raises:
        BadInput: something JSON has no form for. ComfyUI would die of it: its message loop ends
            with the process.
    """
    match value:
        case None | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else None
        case str():
            return value[:MOST_CHARACTERS]
        case Mapping():
            return {str(key): json_safe(item) for key, item in value.items()}
        case list() | tuple():
            return [json_safe(item) for item in value]
        case _:
            raise BadInput("value to show", type(value).__name__, "turn it into plain JSON first")


def listed(rows: Iterable[object], head: str = "") -> str:
    """A Markdown list: the editor's text preview reads it so, and would join plain lines."""
    lines = [f"- {row}" for row in rows]
    return "\n".join([head, "", *lines] if head and lines else lines or [head])
