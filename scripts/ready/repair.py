"""Finding packages that a killed pip or a full disk left half installed."""

from __future__ import annotations

import csv
import os
import shutil
from pathlib import Path


def drop_broken(packages: Path) -> list[str]:
    """Makes pip install anew what is not whole; returns the names.

    pip believes a `.dist-info` folder and looks no further, so that folder goes.
    """
    if not packages.is_dir():
        return []
    for rest in packages.glob("~*"):  # what pip renames while it replaces a package
        shutil.rmtree(rest) if rest.is_dir() else rest.unlink()
    broken = [entry for entry in sorted(packages.glob("*.dist-info")) if not _is_whole(entry)]
    for entry in broken:
        shutil.rmtree(entry)
    return [entry.name.removesuffix(".dist-info") for entry in broken]


def _is_whole(dist_info: Path) -> bool:
    record = dist_info / "RECORD"
    if not record.is_file() or not (dist_info / "METADATA").is_file():
        return False
    base = str(dist_info.parent)
    with record.open(encoding="utf-8", newline="") as file:
        for row in csv.reader(file):
            if (
                len(row) == 3
                and not row[0].endswith(".pyc")
                and not _is_there(base, row[0], row[2])
            ):
                return False
    return True


def _is_there(base: str, name: str, size: str) -> bool:
    try:
        found = os.stat(os.path.join(base, name)).st_size
    except FileNotFoundError:
        return False
    return not size or found >= int(size)  # shorter: the disk was full
