"""A private folder that lasts as long as its process, even one that was killed."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

PREFIX = "tandem-worker-"


def private_folder(parent: Path | None) -> tuple[Path, int | None]:
    """A new folder of mode 700 in `parent` (None: the system's temporary one), and its lock.

    Sweeps what killed workers left there. The lock is a file to keep open; None on Windows.
    """
    where = Path(parent or tempfile.gettempdir())
    if sys.platform == "win32":
        return Path(tempfile.mkdtemp(prefix=PREFIX, dir=where)), None
    for left in where.glob(f"{PREFIX}*"):
        _sweep(left)
    while True:
        made = Path(tempfile.mkdtemp(prefix=PREFIX, dir=where))
        lock = _lock(made, wait=True)
        if lock is not None and made.exists():
            return made, lock
        # Another worker swept it before it was locked.
        if lock is not None:
            os.close(lock)


def _sweep(folder: Path) -> None:
    """Delete a folder of this user that nobody holds."""
    with suppress(OSError):  # it has gone already
        if folder.lstat().st_uid == os.getuid() and (lock := _lock(folder, wait=False)):
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def _lock(folder: Path, *, wait: bool) -> int | None:
    """A handle that holds the folder until it is closed, None where someone else does."""
    import fcntl  # not on Windows

    with suppress(FileNotFoundError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError:
            os.close(handle)
            return None
        return handle
    return None
