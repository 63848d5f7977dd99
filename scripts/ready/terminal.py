"""What the person at the terminal sees: a line a stage, and a live line under it for long ones."""

from __future__ import annotations

import shutil
import sys
import time
from types import TracebackType
from typing import Self

_BAR = 24
_HEARTBEAT_S = 30.0


class Stage:
    """One line when it begins, one when it ends; in between a live line, on a terminal only.

    Elsewhere (a log) a line every half minute shows that it still goes on.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._live = sys.stdout.isatty()
        self._began = self._shown = time.monotonic()

    def __enter__(self) -> Self:
        print(f"{self._title} ...", flush=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._clear()
        if kind is None:
            print(f"{self._title}: done in {time.monotonic() - self._began:.0f} s", flush=True)

    def show(self, what: str, share: float | None = None) -> None:
        """What it does now; `share` (0..1) draws a bar."""
        now = time.monotonic()
        if self._live and now - self._shown > 0.1:
            self._shown = now
            width = shutil.get_terminal_size().columns - 1
            line = f"  {now - self._began:4.0f} s  {_bar(share)}{what}"
            sys.stdout.write("\r" + line[:width].ljust(width))
            sys.stdout.flush()
        elif not self._live and now - self._shown > _HEARTBEAT_S:
            self._shown = now
            print(f"  {now - self._began:.0f} s: {what[:100]}", flush=True)

    def _clear(self) -> None:
        if self._live:
            sys.stdout.write("\r" + " " * (shutil.get_terminal_size().columns - 1) + "\r")


def _bar(share: float | None) -> str:
    if share is None:
        return ""
    full = round(_BAR * min(max(share, 0.0), 1.0))
    return f"[{'#' * full}{'.' * (_BAR - full)}] {share:4.0%}  "
