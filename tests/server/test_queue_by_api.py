"""The script that the README shows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from comfyui_tandem.headless.session import Session

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "queue_by_api.py"


def test_saves_hints_and_picture(comfy: Session, example_photo: Path, tmp_path: Path) -> None:
    command = [sys.executable, SCRIPT, example_photo, "a red ball", comfy.url]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    names = told.stdout.split()
    assert [name.split("_")[0] for name in names] == ["hint", "picture"]
    assert all((tmp_path / name).stat().st_size > 300 for name in names)


def test_tells_what_it_takes() -> None:
    told = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, check=False)
    assert told.returncode == 1
    assert "photo.jpg" in told.stderr and "Traceback" not in told.stderr


def test_says_what_is_wrong(comfy: Session, example_photo: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.png"
    text.write_text("no picture")
    command = [sys.executable, SCRIPT, text, "a red ball", comfy.url]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert told.returncode == 1
    assert "LoadImage" in told.stderr
