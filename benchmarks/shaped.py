"""A link of a given rate to a process of ours: by the kernel where we may, else by a relay.

With root on Linux: a network namespace, a pair of virtual cards, `tc tbf` on both. Its burst is a
few milliseconds of traffic, or short transfers would run unshaped.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from ..headless.line import Line
from ..headless.server import free_port

BURST_S = 0.004
LEAST_BURST_BYTES = 6000
QUEUE_S = 0.4
_number = itertools.count()


@dataclass(frozen=True)
class Place:
    """Where a process has to be started so that the link is shaped."""

    before: tuple[str, ...]  # of its command
    host: str
    by_kernel: bool


@contextmanager
def place(bytes_per_s: float, *, kernel: bool) -> Generator[Place]:
    """The far end of a link; `kernel` False: here, and `reached` puts a relay before it."""
    if not kernel:
        yield Place((), "127.0.0.1", False)
        return
    own = f"{os.getpid()}x{next(_number)}"  # a namespace's cards outlive it for a moment
    name, near, far = f"tandem{own}", f"tn{own}", f"tf{own}"
    inside = ("ip", "netns", "exec", name)
    burst = max(LEAST_BURST_BYTES, int(BURST_S * bytes_per_s))
    shape = (
        "root", "tbf", "rate", f"{int(8 * bytes_per_s)}bit", "burst", f"{burst}b",
        "latency", f"{int(1000 * QUEUE_S)}ms",
    )  # fmt: skip
    try:
        _do("ip", "netns", "add", name)
        _do("ip", "link", "add", near, "type", "veth", "peer", "name", far, "netns", name)
        _do("ip", "addr", "add", "10.213.7.1/30", "dev", near)
        _do("ip", "link", "set", near, "up")
        _do(*inside, "ip", "addr", "add", "10.213.7.2/30", "dev", far)
        _do(*inside, "ip", "link", "set", far, "up")
        _do(*inside, "ip", "link", "set", "lo", "up")
        _do("tc", "qdisc", "add", "dev", near, *shape)
        _do(*inside, "tc", "qdisc", "add", "dev", far, *shape)
        yield Place(inside, "10.213.7.2", True)
    finally:
        with suppress(subprocess.CalledProcessError):
            _do("ip", "netns", "del", name)  # with both cards


@contextmanager
def reached(place: Place, port: int, bytes_per_s: float) -> Generator[str]:
    """The address at which the process is reached over the link."""
    url = f"http://{place.host}:{port}"
    if place.by_kernel:
        yield url
        return
    with Line(url, bytes_per_s, bytes_per_s) as line:
        yield line.url


def kernel_can() -> bool:
    """Whether we may make namespaces and shape their cards."""
    if not (shutil.which("ip") and shutil.which("tc")):
        return False
    try:
        with place(1e6, kernel=True):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


def port() -> int:
    return free_port()


def _do(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603
