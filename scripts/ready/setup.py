"""The whole set-up, in the order in which its parts need each other."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from .bare import NAME, ROOT
from .comfyui import fetch_comfyui, find_comfyui
from .packages import install, steps_for
from .trouble import Trouble, explain_os_error
from .venv import ensure_venv

LOG = ROOT / ".comfyui" / "setup.log"


@dataclass(frozen=True, slots=True)
class Ready:
    """What a set-up leaves behind."""

    python: Path
    comfyui: Path


def make_ready(comfyui: str | None, *, for_tests: bool = False) -> Ready:
    """`.venv` with everything in it, and a ComfyUI; a second time it only looks.

    Raises:
        Trouble: what could not be done, and what to do about it.
    """
    from comfyui_tandem.headless.lock import only_one  # after register_clone

    venv = ROOT / ".venv"
    found = find_comfyui(ROOT, comfyui)
    with only_one(ROOT / ".comfyui" / "setup.lock", "set-up"):
        python = ensure_venv(venv, LOG)
        folder = found or find_comfyui(ROOT, comfyui) or fetch_comfyui(ROOT, venv, LOG)
        install(venv, steps_for(ROOT, folder, for_tests), LOG)
        if for_tests:
            _name_clone()
    return Ready(python, folder)


def _name_clone() -> None:
    """The clone under its import name, for the type checker: it does not run import hooks."""
    link = ROOT / ".comfyui" / "import" / NAME
    if os.name == "posix" and not link.exists():
        link.parent.mkdir(exist_ok=True)
        link.unlink(missing_ok=True)  # a link to a clone that was moved
        link.symlink_to(ROOT, target_is_directory=True)


def guarded(work: Callable[[], NoReturn]) -> NoReturn:
    """Runs it; trouble becomes two lines and exit code 1, Ctrl-C and SIGTERM a quiet end."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a background job
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        work()
    except Trouble as trouble:
        sys.exit(f"\n{trouble}")
    except OSError as error:
        sys.exit(f"\n{explain_os_error(error)}")
    except KeyboardInterrupt:
        print("\nStopped. The next run goes on from here.")
        sys.exit(130)
