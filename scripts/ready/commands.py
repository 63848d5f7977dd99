"""Running a tool so that its output is kept, and so that it never outlives us."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from .trouble import explain

KEPT_LINES = 400


def run_tool(
    stage: str,
    command: Sequence[str | Path],
    *,
    log: Path,
    on_line: Callable[[str], None] | None = None,
) -> list[str]:
    """Runs it to its end and returns its last lines; all of them are appended to `log`.

    Raises:
        Trouble: it failed; says why, as far as its output tells.
    """
    kept: list[str] = []
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as file:
        file.write(f"\n$ {' '.join(map(str, command))}\n")
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        try:
            for line in process.stdout or ():
                file.write(line)
                kept = [*kept[-KEPT_LINES:], line.rstrip()]
                if on_line:
                    on_line(line.strip())
            process.wait()
        finally:  # Ctrl-C too: a pip that goes on would fight with the next run's
            if process.poll() is None:
                process.terminate()
                process.wait()
    if process.returncode != 0:
        raise explain(stage, kept, str(log))
    return kept


def become(command: Sequence[str | Path], env: Mapping[str, str]) -> NoReturn:
    """Goes on as another program: one process, so Ctrl-C and signals reach it directly."""
    words = [str(word) for word in command]
    full = {**os.environ, **env}
    sys.stdout.flush()
    if os.name == "posix":
        os.execve(words[0], words, full)  # noqa: S606
    process = subprocess.Popen(words, env=full)  # Windows cannot; Ctrl-C reaches both there
    while True:
        try:
            sys.exit(process.wait())
        except KeyboardInterrupt:
            continue
