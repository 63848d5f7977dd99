"""Where a Chromium or Chrome lies on this machine."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
APPLICATIONS = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    r"%ProgramFiles%\Google\Chrome\Application\chrome.exe",
    r"%ProgramFiles(x86)%\Google\Chrome\Application\chrome.exe",
    r"%LocalAppData%\Google\Chrome\Application\chrome.exe",
)


def find_browser() -> str | None:
    """Path of the browser to use: TANDEM_BROWSER, else the first one installed."""
    named = os.environ.get("TANDEM_BROWSER")
    if named:
        return named
    on_path = (shutil.which(name) for name in NAMES)
    places = (os.path.expandvars(place) for place in APPLICATIONS)
    found = (*on_path, *(place for place in places if Path(place).is_file()))
    return next((place for place in found if place), None)
