"""A process that we started, with all that it starts itself: asked to end, then made to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from .start import PARENT

KILL_WAIT_S = 5.0
START = Path(__file__).resolve().parent / "start.py"


def module_command(module: str, python: str | Path = sys.executable) -> list[str]:
    """Runs a module of this package, installed or not."""
    return [str(python), str(START), module]


class Child:
    """Runs in a group of its own, so a Ctrl-C at the terminal reaches us alone, and we end it."""

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as file:
            self._process = subprocess.Popen(  # noqa: S603 - our own programs
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={
                    **os.environ,
                    "PYTHONUNBUFFERED": "1",
                    PARENT: str(os.getpid()),
                    **(env or {}),
                },
                cwd=cwd,
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def tail(self, lines: int = 25) -> str:
        """The end of what it wrote."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def stop(self, wait_s: float = 15.0) -> None:
        """Asks it to end, waits, then ends whatever is left of its group. Twice does no harm."""
        try:
            if self.exit_code is None:
                self._signal(getattr(signal, "CTRL_BREAK_EVENT", signal.SIGINT))
                self._wait(wait_s)
        finally:  # also when a second Ctrl-C cuts the waiting short
            self.kill()

    def kill(self) -> None:
        """Ends the whole group at once."""
        if os.name == "posix":
            try:
                os.killpg(self.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):  # all gone; macOS says the latter
                pass
        elif self.exit_code is None:
            tree = ["taskkill", "/T", "/F", "/PID", str(self.pid)]
            subprocess.run(tree, capture_output=True, check=False)  # noqa: S603
        self._process.wait(KILL_WAIT_S)

    def _signal(self, number: int) -> None:
        if os.name == "posix":
            os.killpg(self.pid, number)
        else:
            self._process.send_signal(number)

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while self.exit_code is None and time.monotonic() < end:
            time.sleep(0.05)
