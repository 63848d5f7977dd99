"""Runs all tests with nothing prepared: python3 scripts/test.py [--comfyui DIR] [pytest options].

Makes `.venv`, gets a ComfyUI and, where it may, a browser; then runs pytest in it.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - who runs this may have an older one
    sys.exit(f"Tandem needs Python 3.11 or newer; this is {sys.version.split()[0]}.")

import argparse
import os
from typing import NoReturn

from ready.bare import ROOT, register_clone
from ready.browser import ensure_browser
from ready.commands import become
from ready.setup import LOG, guarded, make_ready


def main() -> NoReturn:
    register_clone()
    about = "Sets up, then runs the tests. All other options go to pytest, such as -m quick."
    parser = argparse.ArgumentParser(description=about, allow_abbrev=False)
    parser.add_argument("--comfyui", metavar="DIR", help="test with this ComfyUI")
    wanted, for_pytest = parser.parse_known_args()
    ready = make_ready(wanted.comfyui, for_tests=True)
    env = {"COMFYUI_DIR": str(ready.comfyui)}
    browser = ensure_browser(LOG)
    if browser:
        env["TANDEM_BROWSER"] = browser
    os.chdir(ROOT)
    become([ready.python, "-m", "pytest", *for_pytest], env)


if __name__ == "__main__":
    guarded(main)
