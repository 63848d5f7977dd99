"""The process that touches pictures: decodes, detects, encodes, one task after the other.

It is started with empty hands: no token, no sockets, one folder's file names on its pipe. When it
crashes, hangs or is killed, one task is lost and the server goes on.
"""

from __future__ import annotations

import logging
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..engine.conditions import (
    ConditionRequest,
    Models,
    Photo,
    detect,
    find_detector,
    load,
    models,
    obstacle,
    use_models,
)
from ..engine.conditions.size import hint_size
from ..engine.errors import BadInput
from ..engine.wire.codecs import (
    PHOTO_CODECS,
    BadPicture,
    PhotoLimits,
    TooLarge,
    decode_photo,
    encode_hint,
    encode_photo,
)
from .frames import Message, read_message, write_message
from .isolation import isolate

log = logging.getLogger(__name__)
WARM_PX = 512


class Stopped(Exception):
    """The task was cancelled between two stages."""


class Desk:
    """Messages in and out; a thread reads, so that a cancel is seen while a task runs."""

    def __init__(self, inlet: BinaryIO, outlet: BinaryIO) -> None:
        self.orders: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._inlet, self._outlet = inlet, outlet
        self._cancelled: set[str] = set()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while (message := read_message(self._inlet)) is not None:
            if message.get("do") == "cancel":
                self._cancelled.add(message["task"])
            else:
                self.orders.put(message)
        os._exit(0)  # the parent is gone: nobody wants what runs now

    def say(self, what: str, payload: bytes = b"", **fields: Any) -> None:
        write_message(self._outlet, {"say": what, **fields}, payload)

    def stage(self, order: Message, name: str) -> None:
        """Begin the next stage of a task, and say so if someone follows it.

        Raises:
            Stopped: the task has been cancelled.
        """
        if order["task"] in self._cancelled:
            raise Stopped
        if order["followed"]:
            self.say("stage", task=order["task"], stage=name)


class Warm:
    """Detectors that are ready in this process, and what a first run on the quick ones showed."""

    def __init__(self) -> None:
        rows = np.random.default_rng(0).integers(0, 256, (WARM_PX, WARM_PX, 3), dtype=np.uint8)
        self._photo = Photo(rows)

    def announce(self) -> dict[str, Any]:
        """Everything this process can do, with the seconds it takes for a million pixels."""
        detectors = {name: self._describe(name) for name in models().detectors}
        codecs = {codec: self._decode_seconds(codec) for codec in PHOTO_CODECS}
        return {"detectors": detectors, "decode_s_per_mpixel": codecs}

    def _describe(self, name: str) -> dict[str, Any]:
        detector = find_detector(name)
        facts: dict[str, Any] = {
            "title": detector.title,
            "about": detector.about,
            "polarity": detector.polarity,
            "channels": detector.channels,
            "bits": detector.bits,
            "licence": detector.licence,
            "commercial": detector.commercial,
            "params": {param.name: param.schema() for param in detector.params},
            "prior_s_per_mpixel": detector.seconds_per_mpixel,
        }
        if (missing := obstacle(name)) is not None:
            kind = missing.what.partition(" for ")[0]  # its advice names this machine's folders
            return {**facts, "state": "missing", "missing": f"{kind}: {missing.seen}"}
        if detector.run is None:  # a network: read at its first task
            return {**facts, "state": "on disk"}
        try:
            detect(ConditionRequest(name, WARM_PX), self._photo)  # with its imports
        except Exception as error:
            log.exception("detector %s cannot be used", name)
            return {
                **facts,
                "state": "missing",
                "missing": f"its first run: {type(error).__name__}",
            }
        seconds = _timed(lambda: detect(ConditionRequest(name, WARM_PX), self._photo))
        return {**facts, "state": "loaded", "s_per_mpixel": seconds * 1e6 / WARM_PX**2}

    def _decode_seconds(self, codec: Any) -> float:
        data = encode_photo(self._photo.pixels, codec)
        return _timed(lambda: decode_photo(data, PhotoLimits())) * 1e6 / WARM_PX**2


def _timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


@lru_cache(maxsize=1)
def read_photo(path: str, pixels: int, side_px: int) -> Photo:
    """The photo of a file, whose name is its sha256: several detectors in a row look at one."""
    return Photo(decode_photo(Path(path).read_bytes(), PhotoLimits(pixels, side_px)))


def run_task(desk: Desk, order: Message) -> None:
    task, name = order["task"], order["detector"]
    marks = [time.perf_counter()]
    desk.stage(order, "loading")
    request = ConditionRequest(name, order["resolution"], params=order["params"])
    load(name)
    marks.append(time.perf_counter())
    desk.stage(order, "decoding")
    photo = read_photo(order["path"], order["photo_pixels"], order["photo_side_px"])
    height, width = hint_size(photo.pixels.shape[0], photo.pixels.shape[1], request.resolution)
    if height * width > order["hint_pixels"]:  # a thin photo makes a very long hint
        do = f"at most {order['hint_pixels']} pixels: choose a lower resolution"
        raise TooLarge("size of the hint", f"{width} x {height}", do)
    marks.append(time.perf_counter())
    desk.stage(order, "computing")
    picture = detect(request, photo)
    marks.append(time.perf_counter())
    desk.stage(order, "encoding")
    data = encode_hint(picture)
    marks.append(time.perf_counter())
    names = ("load", "decode", "compute", "encode")
    steps = zip(names, marks, marks[1:], strict=False)
    seconds = {step: end - start for step, start, end in steps}
    pixels = int(picture.shape[0] * picture.shape[1])
    desk.say("done", data, task=task, seconds=seconds, pixels=pixels)


def run_guarded(desk: Desk, order: Message) -> None:
    """Run a task; what goes wrong in it becomes a message, and the process goes on."""
    task = order["task"]
    desk.say("started", task=task)
    try:
        run_task(desk, order)
    except Stopped:
        desk.say("failed", task=task, code="cancelled", detail="cancelled between two stages")
    except TooLarge as error:
        desk.say("failed", task=task, code="too_large", detail=str(error))
    except BadPicture as error:
        desk.say("failed", task=task, code="bad_photo", detail=str(error))
    except BadInput as error:
        desk.say("failed", task=task, code="bad_param", detail=str(error))
    except Exception as error:
        # The text of a foreign error may hold paths or values: it stays on this machine.
        log.exception("detector %s failed", order["detector"])
        detail = f"{order['detector']} raised {type(error).__name__}"
        if isinstance(error, MemoryError) or "nsufficient memory" in str(error):
            detail = f"{order['detector']} ran out of memory: choose a lower resolution"
            desk.say("failed", task=task, code="detector_failed", detail=detail)
            os._exit(0)  # who else failed to get memory is not known
        desk.say("failed", task=task, code="detector_failed", detail=detail)


def main() -> None:
    """Serve tasks from standard input until it closes."""
    logging.basicConfig(stream=sys.stderr, format="child %(process)d: %(message)s")
    # Ctrl-C and a closed terminal reach the whole group: the parent decides.
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):  # Windows has no SIGHUP
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    inlet, outlet = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # libraries that print must not break the protocol
    isolate(int(sys.argv[1]), int(sys.argv[2]))
    desk = Desk(inlet, outlet)
    use_models(Models([Path(folder) for folder in sys.argv[3:]], int(sys.argv[2]) // 2))
    desk.say("ready", pid=os.getpid(), **Warm().announce())
    while True:
        run_guarded(desk, desk.orders.get())
