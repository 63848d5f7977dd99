"""What the system grants: what a child gives up at its start, and the memory that is free."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4


def hide_from_children() -> None:
    """Close this process's /proc to others of its user: its environment may hold the token."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def free_memory_bytes() -> int | None:
    """Memory that new processes can have; None where the system does not say."""
    try:
        rows = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    sizes = [int(row.split()[1]) for row in rows if row.startswith("MemAvailable:")]
    return min([1024 * sizes[0], *_free_of_container()]) if sizes else None


def _free_of_container() -> list[int]:
    """What its limit leaves, where there is one."""
    group = Path("/sys/fs/cgroup")
    try:
        limit, used = ((group / name).read_text() for name in ("memory.max", "memory.current"))
    except OSError:
        return []
    return [] if limit.strip() == "max" else [max(0, int(limit) - int(used))]


def isolate(parent: int, memory_bytes: int) -> None:
    """Cap this process's memory, offer it to the out-of-memory killer, tie it to its parent."""
    if sys.platform != "linux":
        return  # the closed pipe still ends the child
    import resource

    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a dump would hold the photo
    with suppress(OSError):  # some containers forbid it
        Path("/proc/self/oom_score_adj").write_text("800")
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the line above
        os._exit(0)
