"""What the tests of `tandem distill` start from, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from .distilling import draw_pairs, run, write_teacher


@pytest.fixture(scope="session")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline's folder like SD1.5's, narrow, with random weights."""
    return write_teacher(tmp_path_factory.mktemp("teacher"))


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures and captions."""
    return draw_pairs(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="session")
def encoded(teacher: Path, pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to distil in, with these encoded."""
    folder = tmp_path_factory.mktemp("distilled")
    assert run("pairs", teacher, folder, "--pairs", str(pairs), "--px", "64") == 0
    return folder
