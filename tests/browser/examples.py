"""The example workflows, as files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "example_workflows"
TWINS = ROOT / "tests" / "graphs"
SEEN = ROOT / "test_output" / "browser"  # what the tests saw

EXAMPLES = sorted(file.stem for file in FOLDER.glob("*.json"))


def workflow(name: str) -> dict[str, Any]:
    """The editor's form."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def twin(name: str) -> dict[str, Any]:
    """The API form of the same graph."""
    return json.loads((TWINS / f"{name}.json").read_text(encoding="utf-8"))
