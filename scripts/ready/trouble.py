"""The one error of a set-up: what went wrong, and what to do, a line each."""

from __future__ import annotations

import errno
from collections.abc import Sequence

AGAIN = "then run the same command again: it goes on where it stopped"


class Trouble(Exception):
    """Two lines for a person."""

    def __init__(self, what: str, do: str) -> None:
        super().__init__(what, do)
        self.what, self.do = what, do

    def __str__(self) -> str:
        return f"{self.what}\n{self.do}"


_DISK = ("No space left on device", "[Errno 28]", "not enough space on the disk", "Disk quota")
_NETWORK = (
    "NewConnectionError",
    "NameResolutionError",
    "Temporary failure in name resolution",
    "Connection refused",
    "Network is unreachable",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "Connection aborted",
    "SSLError",
    "ProxyError",
    "(from versions: none)",  # what pip says when it does not try again
)


def explain(stage: str, output: Sequence[str], where: str) -> Trouble:
    """Why a tool failed, from what it said.

    Args:
        output: the tool's lines, oldest first.
        where: file with all of them.
    """
    text = "\n".join(output)
    if any(sign in text for sign in _DISK):
        return Trouble(f"{stage}: the disk is full.", f"Free some gigabytes, {AGAIN}.")
    if any(sign in text for sign in _NETWORK):
        what = f"{stage}: pip cannot reach a package index that has it (no network? a proxy?)."
        return Trouble(what, f"Mend the connection, {AGAIN}.")
    last = next(
        (line for line in reversed(output) if "ERROR" in line), output[-1] if output else ""
    )
    return Trouble(
        f"{stage} failed: {last.strip()[:300] or 'it said nothing'}", f"See {where}, {AGAIN}."
    )


def explain_os_error(error: OSError) -> Trouble:
    """A failed read or write of our own."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Trouble("The disk is full.", f"Free some gigabytes, {AGAIN}.")
    return Trouble(f"Cannot read or write: {error}", f"Mend the permissions or the disk, {AGAIN}.")
