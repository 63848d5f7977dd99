"""The machine in a line, to say where something was measured."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def device() -> str:
    """Processor, cores and system in a line; nothing that tells one machine from its like."""
    return f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}"


def _processor() -> str:
    try:
        rows = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or "CPU"
    names = [row.partition(":")[2].strip() for row in rows if row.startswith("model name")]
    return names[0] if names else platform.machine()
