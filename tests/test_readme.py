"""What README and CONTRIBUTING say is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "CONTRIBUTING.md")


@pytest.mark.parametrize("page", PAGES)
def test_linked_files_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    linked = re.findall(r"\]\((?!http|#)([^)#]+)", text)
    assert [file for file in linked if not (ROOT / file).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_named_files_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    rooms = "benchmarks|cli|docs|edge_worker|engine|example_workflows|headless|nodes|scripts|tests"
    named = re.findall(rf"`((?:{rooms}|web)/[\w./]*)`", text)
    assert named
    assert [file for file in named if not (ROOT / file).exists()] == []


def test_readme_shows_the_script() -> None:
    script = (ROOT / "scripts" / "queue_by_api.py").read_text(encoding="utf-8")
    assert f"```python\n{script}```\n" in (ROOT / "README.md").read_text(encoding="utf-8")
