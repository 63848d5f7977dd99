"""Where commands and benchmarks find a ComfyUI, and what they say if they cannot use it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from comfyui_tandem.engine.errors import Unavailable
from comfyui_tandem.training.comfyui import MAIN, open_comfyui


def test_a_python_without_torch_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / MAIN).touch()
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(Unavailable, match="use the Python that runs ComfyUI"):
        open_comfyui(tmp_path)


def test_the_folder_named_counts_and_has_to_be_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Unavailable, match="name its folder with --comfyui"):
        open_comfyui(tmp_path / "given")
    monkeypatch.setenv("COMFYUI_DIR", str(tmp_path / "set"))
    with pytest.raises(Unavailable, match=str(tmp_path / "set")):
        open_comfyui()
