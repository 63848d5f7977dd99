"""Only one set-up or demo at a time; a lock ends with its process, however that ends."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def only_one(path: Path, what: str) -> Generator[None]:
    """Waits until no other process holds `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        if not _take(file):
            sys.stdout.write(f"Another {what} is at work in this folder; waiting for its end.\n")
            sys.stdout.flush()
            while not _take(file):
                time.sleep(0.5)
        yield


def _take(file: IO[str]) -> bool:
    try:
        if os.name == "posix":
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    except OSError:
        return False
    return True
