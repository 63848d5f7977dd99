"""Ending in order: a signal from outside ends a command as Ctrl-C does."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

ENDING = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)
)


@contextmanager
def ending_in_order() -> Generator[None]:
    """SIGTERM and a closed terminal raise KeyboardInterrupt, so that every `finally` runs.

    So does SIGINT, also where a script that started us in the background had it ignored.
    """
    before = {number: signal.signal(number, _interrupt) for number in (signal.SIGINT, *ENDING)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def undisturbed() -> Generator[None]:
    """A second Ctrl-C does not cut the cleaning up short."""
    main = threading.current_thread() is threading.main_thread()  # others get no signals
    numbers = (signal.SIGINT, *ENDING) if main else ()
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
