"""The folder's own Python environment, `.venv`: found, made, or made anew when it is broken."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from .commands import run_tool
from .terminal import Stage
from .trouble import AGAIN, Trouble

STAMPS = "tandem"  # its folder in an environment that we made


def venv_python(venv: Path) -> Path:
    """Its interpreter, whether it exists or not."""
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def site_packages(venv: Path) -> Path:
    """Where pip puts packages in it."""
    if os.name == "nt":
        return venv / "Lib" / "site-packages"
    major, minor = _version_of(venv) or sys.version_info[:2]
    return venv / "lib" / f"python{major}.{minor}" / "site-packages"


def ensure_venv(venv: Path, log: Path) -> Path:
    """An environment with a working Python and pip; returns its interpreter."""
    python = venv_python(venv)
    if _version_of(venv) is not None and _has_pip(python):
        return python
    with Stage("Making the Python environment .venv") as stage:
        if venv.exists():
            if not (venv / STAMPS).is_dir():
                what = f"{venv} is no usable Python environment, and was not made by this script."
                raise Trouble(what, f"Move it away or delete it, {AGAIN}.")
            stage.show("removing a broken one")
            shutil.rmtree(venv)
        (venv / STAMPS).mkdir(parents=True)  # first, so that half a one is known as ours
        make = [_outer_python(), "-m", "venv"]
        if _has_module("ensurepip"):
            run_tool("Making .venv", [*make, venv], log=log)
        else:  # Debian without python3-venv: pip of the machine fills it
            run_tool("Making .venv", [*make, "--without-pip", venv], log=log)
            pip = [_outer_python(), "-m", "pip", "--python", python, "install", "pip"]
            run_tool("Installing pip into .venv", pip, log=log)
    return python


def _version_of(venv: Path) -> tuple[int, int] | None:
    """Python version of a usable environment, without starting it where that is not needed."""
    python = venv_python(venv)
    if not python.exists():  # also a link to a Python that is gone
        return None
    config = venv / "pyvenv.cfg"
    lines = config.read_text(encoding="utf-8").splitlines() if config.is_file() else []
    values = dict(line.split(" = ", 1) for line in lines if " = " in line)
    numbers = values.get("version", "0.0").split(".")
    version = (int(numbers[0]), int(numbers[1]))
    return version if version >= (3, 11) else None


def _has_pip(python: Path) -> bool:
    probe = [str(python), "-m", "pip", "--version"]
    return subprocess.run(probe, capture_output=True).returncode == 0


def _has_module(name: str) -> bool:
    return (
        subprocess.run([_outer_python(), "-c", f"import {name}"], capture_output=True).returncode
        == 0
    )


def _outer_python() -> str:
    """The Python that made ours, should we be running inside `.venv`."""
    return str(getattr(sys, "_base_executable", None) or sys.executable)
