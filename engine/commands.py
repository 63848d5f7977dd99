"""How Tandem's commands are called where this code lies."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def command(words: str) -> str:
    """What to type for `tandem WORDS`: a clone has a script for it, an installed package a command.

    The script is named from the pack's own folder.
    """
    in_clone = (ROOT / "scripts" / "tandem.py").is_file()
    return f"python scripts/tandem.py {words}" if in_clone else f"tandem {words}"
