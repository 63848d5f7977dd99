"""`tandem models` looks where ComfyUI looks."""

from __future__ import annotations

from pathlib import Path

import pytest
from comfyui_tandem.cli import models as command
from comfyui_tandem.cli.comfy_folders import FOLDER, detector_folders
from comfyui_tandem.engine.errors import BadInput

from .core_nodes import core_file

TEXT = f"""
shop:
  base_path: shared/models
  {FOLDER}: |
    detectors
    ../more

  checkpoints: sd
home:
  {FOLDER}: plain
empty:
first:
  is_default: true
  base_path: /srv/models
  {FOLDER}: best
"""


def test_folders_are_those_of_comfyui_in_its_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import folder_paths

    load_extra_path_config = core_file("utils/extra_config.py").load_extra_path_config
    (tmp_path / "extra_model_paths.yaml").write_text(TEXT)
    own = str(tmp_path / "models" / FOLDER)
    monkeypatch.setattr(folder_paths, "folder_names_and_paths", {})
    load_extra_path_config(str(tmp_path / "extra_model_paths.yaml"))
    folder_paths.add_model_folder_path(FOLDER, own)
    expected = [Path(path) for path in folder_paths.get_folder_paths(FOLDER)]
    assert len(expected) == 5 and expected[0] == Path("/srv/models/best")
    assert detector_folders(tmp_path) == expected


def test_without_the_file_there_is_comfyuis_own_folder(tmp_path: Path) -> None:
    assert detector_folders(tmp_path) == [tmp_path / "models" / FOLDER]


@pytest.mark.parametrize("text", ["a: [", "- a", "a: b", f"a: {{{FOLDER}: 3}}"])
def test_a_broken_file_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "extra_model_paths.yaml").write_text(text)
    with pytest.raises(BadInput, match=r"extra_model_paths\.yaml"):
        detector_folders(tmp_path)


def test_the_command_uses_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import argparse

    (tmp_path / "extra_model_paths.yaml").write_text(TEXT)
    monkeypatch.setattr(command, "ROOT", tmp_path / "custom_nodes" / "tandem")
    found = command.folders_of(argparse.Namespace(models=None))
    assert found == detector_folders(tmp_path)
