"""A browser for the browser tests: one that is installed, or Debian's Chromium."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from .commands import run_tool
from .terminal import Stage
from .trouble import Trouble


def ensure_browser(log: Path) -> str | None:
    """Path of a Chromium or Chrome; None, and a line that says so, where there is none."""
    from comfyui_tandem.headless.browser import find_browser

    found = find_browser()
    if found:
        return found
    if not _may_install():
        print("No Chromium or Chrome found: install one to run the browser tests, now skipped.")
        return None
    try:
        with Stage("Installing Chromium") as stage:
            for command in (["update"], ["install", "-y", "--no-install-recommends", "chromium"]):
                run_tool("apt-get", ["apt-get", *command], log=log, on_line=stage.show)
    except Trouble as trouble:
        print(f"No Chromium or Chrome, browser tests are skipped: {trouble.what}")
        return None
    return find_browser()


def _may_install() -> bool:
    debian = Path("/etc/debian_version").exists() and shutil.which("apt-get") is not None
    return debian and hasattr(os, "geteuid") and os.geteuid() == 0
