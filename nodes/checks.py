"""Checks that ComfyUI 0.3.75 leaves to the node."""

from __future__ import annotations

from collections.abc import Sequence

from ..engine.errors import BadInput


def check_choice(what: str, value: str, choices: Sequence[str]) -> None:
    """Refuse a combo value that is not on the list; older ComfyUI runs any string."""
    if value not in choices:
        raise BadInput(what, value, f"choose one of {', '.join(choices)}")
