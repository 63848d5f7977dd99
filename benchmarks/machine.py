"""What a measurement ran on, in one line."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def describe_machine() -> str:
    """Cores, load, system, Python, the packages that matter, and the commit if git knows it."""
    packages = [f"{name} {found}" for name in ("numpy", "torch") if (found := _version(name))]
    load = (
        f"load {os.getloadavg()[0]:.1f} by others" if hasattr(os, "getloadavg") else "load unknown"
    )
    parts = [f"{os.cpu_count()} cores", load, platform.platform(terse=True)]
    parts += [f"Python {platform.python_version()}", *packages, f"commit {_commit()}"]
    return ", ".join(parts)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=10"]
    try:
        said = subprocess.run(  # noqa: S603
            command, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return said.stdout.strip() or "unknown"
