"""Both lanes at a given pace: a real worker process, runs against it, their hints checked."""

from __future__ import annotations

import os
import secrets
import subprocess
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import numpy as np

from ..engine.conditions import Condition, ConditionRequest, Photo, detect
from ..engine.errors import Unavailable
from ..engine.offload import (
    LOCAL,
    Costs,
    Measured,
    Offload,
    Outcome,
    Profile,
    WorkerEntry,
    lanes,
    plan_conditions,
    run_lanes,
)
from ..headless.child import module_command
from ..headless.worker import is_ready
from .paced_worker import TOKEN
from .paces import Paces, paced, write_paces
from .shaped import Place
from .shaped import port as any_port
from .worker import SIDE_PX, picture

ALIAS = "garage"
NEVER = threading.Event()
PLACES = {"planned": "auto", "shares": "auto", "all local": "this machine", "all edge": "edge"}


@dataclass
class Paced:
    """A worker process and how it is reached."""

    process: subprocess.Popen[bytes]
    port: int
    token: str

    def entry(self, url: str) -> WorkerEntry:
        return WorkerEntry(ALIAS, url, token=self.token, allow_http=True)


@contextmanager
def paced_worker(place: Place, paces: Paces, models: Path | None = None) -> Generator[Paced]:
    """Runs at these paces until the block ends.

    `models`: the folder of its weights; it has a spare process then, as torch is slow to import.
    """
    with TemporaryDirectory() as empty:
        folder = str(models or empty)
        write_paces(Path(folder), paces)
        token, port = secrets.token_hex(24), any_port()
        command = [*module_command("comfyui_tandem.benchmarks.paced_worker"), folder]
        options = [place.host, str(port), *(["spare"] if models else [])]
        process = subprocess.Popen(  # noqa: S603
            [*place.before, *command, *options],
            env={**os.environ, TOKEN: token},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            ends = time.monotonic() + 60
            while not is_ready(f"http://{place.host}:{port}"):
                if process.poll() is not None or time.monotonic() > ends:
                    raise Unavailable("worker", "it did not start", "run its command by hand")
                time.sleep(0.1)
            yield Paced(process, port, token)
        finally:
            process.kill()
            process.wait()


def photo(number: int) -> Photo:
    """A picture that no run has sent before, as large as the others."""
    return Photo(np.roll(picture().pixels, 7 * number, axis=(0, 1)))


def profiles(here: Paces, there: Paces) -> dict[str, Profile]:
    """What both lanes take, as `tandem profile` would have measured it."""

    def made(name: str, paces: Paces) -> Profile:
        rows = tuple(
            Measured(detector, SIDE_PX, SIDE_PX**2, seconds, seconds, None, None, size)
            for detector, seconds in paces.items()
            for size in [int(_hint_bytes(detector))]
        )
        return Profile(name, "paced", "", {}, rows)

    return {LOCAL: made("paced machine", here), ALIAS: made("paced worker", there)}


_sizes: dict[str, int] = {}


def _hint_bytes(detector: str) -> int:
    from ..engine.wire.codecs import encode_hint

    if detector not in _sizes:
        _sizes[detector] = len(encode_hint(detect(ConditionRequest(detector, SIDE_PX), picture())))
    return _sizes[detector]


@dataclass(frozen=True)
class Ran:
    """One run: what it was planned to take and took, and whether every hint is right."""

    offload: Offload
    outcome: Outcome
    seconds: float
    right: bool


class Bench:
    """Runs of one set of detectors; one set of costs, as one ComfyUI has it."""

    def __init__(self, here: Paces, chosen: Mapping[str, Profile]) -> None:
        self._here, self._chosen = here, chosen
        self.costs = Costs()

    def plan(self, side: str, entry: WorkerEntry, given: Photo) -> Offload:
        requests = [ConditionRequest(name, SIDE_PX, where=PLACES[side]) for name in self._here]
        conditions = [Condition(request, (given,)) for request in requests]
        bandwidth = "shares" if side == "shares" else "full"
        return plan_conditions(conditions, [entry], self.costs, None, self._chosen, bandwidth)

    def run(self, offload: Offload, cancelled: threading.Event = NEVER) -> Ran:
        with patch.object(lanes, "detect", paced(detect, self._here)):
            began = time.monotonic()
            outcome = run_lanes(offload, self.costs, report=lambda _: None, cancelled=cancelled)
            seconds = time.monotonic() - began
        return Ran(offload, outcome, seconds, all_right(outcome))


def all_right(outcome: Outcome) -> bool:
    """Whether every hint is what its detector makes of its photo, bit by bit."""
    return all(
        np.array_equal(made, detect(hint.condition.request, given))
        for hint in outcome.hints
        for made, given in zip(hint.pictures, hint.condition.photos, strict=True)
    )


def scaled(paces: Paces, factor: float) -> dict[str, float]:
    return {name: seconds * factor for name, seconds in paces.items()}


def over_true_link(offload: Offload, bytes_per_s: float) -> Offload:
    """The plan's instance with the link as it is, not as it was estimated."""
    workers = tuple(
        replace(one, up_bytes_per_s=bytes_per_s, down_bytes_per_s=bytes_per_s)
        for one in offload.instance.workers
    )
    return replace(offload, instance=replace(offload.instance, workers=workers))
