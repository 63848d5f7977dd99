"""This pack among the custom nodes of a ComfyUI."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = "comfyui-tandem"


def link_pack(base_directory: Path, *, folder: Path = ROOT, name: str = FOLDER) -> Path:
    """Links a pack's folder into `custom_nodes`; nothing is copied.

    Raises:
        FileExistsError: something else lies there, no link.
    """
    link = base_directory / "custom_nodes" / name
    link.parent.mkdir(parents=True, exist_ok=True)
    if _is_link(link) and link.resolve() != folder.resolve():
        _unlink(link)
    if not link.exists():
        _link(folder, link)
    elif link.resolve() != folder.resolve():
        raise FileExistsError(f"{link} is no link to {folder}")
    return link


def _is_link(link: Path) -> bool:
    """Also a Windows junction, which is no symbolic link: its place resolves to another."""
    return link.is_symlink() or (
        os.name == "nt" and link.exists() and link.resolve() != link.parent.resolve() / link.name
    )


def _unlink(link: Path) -> None:
    if link.is_symlink():
        link.unlink()
    else:
        os.rmdir(link)  # takes the junction, never what it leads to


def _link(folder: Path, link: Path) -> None:
    if os.name == "nt":  # links need a right there, junctions do not
        import _winapi

        _winapi.CreateJunction(str(folder), str(link))  # type: ignore[attr-defined]
    else:
        link.symlink_to(folder, target_is_directory=True)
