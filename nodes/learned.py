"""What was learned of the user's own models, as the choices of a node's input."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from comfy_api.latest import io

from ..engine.errors import BadInput
from ..engine.scaling import FOLDER
from .model_folders import user_folder

if TYPE_CHECKING:
    from ..engine.scaling.learned import Learned

BY_RULE = "no: by the rule"


def files() -> dict[str, Path]:
    """By name."""
    folder = user_folder() / FOLDER
    return {path.stem: path for path in sorted(folder.glob("*.json"))}


def learned_input(tooltip: str) -> io.Combo.Input:
    options = [BY_RULE, *files()]
    return io.Combo.Input(
        "learned", options=options, default=BY_RULE, optional=True, tooltip=tooltip
    )


def fingerprint(choice: str) -> str:
    """Of what was learned: its file may be made again under the same name."""
    path = files().get(choice)
    return "" if path is None else hashlib.sha256(path.read_bytes()).hexdigest()


def chosen(choice: str) -> Learned | None:
    """What a choice stands for; None: the rule.

    Raises:
        BadInput: its file is gone, or no good.
    """
    from ..engine.scaling.learned_file import read_learned

    if choice == BY_RULE:
        return None
    known = files()
    if choice not in known:
        do = f"choose one of {', '.join([BY_RULE, *known])}, or calibrate again: its file is gone"
        raise BadInput("learned", choice, do)
    return read_learned(known[choice])
