"""Two short transfers each way, where too little is known of a link or too long ago."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np

from ..conditions import ConditionRequest, Photo
from ..errors import TandemError
from .capabilities import Capabilities
from .client import WorkerClient
from .costs import Costs
from .workers import WorkerEntry

log = logging.getLogger(__name__)
SIDES_PX = (144, 416)  # of noise, which nothing compresses: 62 kB, 519 kB
SLOW_S = 0.25  # a link that takes longer for the first is told well enough by it
DEADLINE_S = 3.0
FAR_S = DEADLINE_S / 4  # a longer round trip leaves the probe no time, and tells enough by itself
ECHO = "tile"  # its hint of noise is about as large as the noise


def probe_links(able: Sequence[tuple[WorkerEntry, Capabilities]], costs: Costs) -> None:
    """Measures links that are not known well enough, all workers at once.

    What fails is left to the run, which knows what to do then. Far workers are not measured: that
    would fail at every plan, until three failures in a row keep them out.
    """
    unsure = [
        (entry, can)
        for entry, can in able
        if can.round_trip_s < FAR_S and is_unsure(entry.alias, costs)
    ]
    if not unsure:
        return
    with ThreadPoolExecutor(len(unsure), "tandem-probe") as pool:
        list(pool.map(lambda one: _probe(one[0], one[1], costs), unsure))


def is_unsure(worker: str, costs: Costs) -> bool:
    return not all(costs.is_link_known(worker, way) for way in ("up", "down"))


def _probe(entry: WorkerEntry, can: Capabilities, costs: Costs) -> None:
    never, chance = threading.Event(), np.random.default_rng()
    state = can.detectors.get(ECHO)
    try:
        with closing(WorkerClient(entry)) as client:
            for side in SIDES_PX:
                noise = Photo(chance.integers(0, 256, (side, side, 3), dtype=np.uint8))
                sent = client.upload(noise, cancelled=never, deadline_s=DEADLINE_S)
                seconds = sent.seconds if sent else 0.0
                if sent:
                    costs.observe_transfer(entry.alias, "up", sent.bytes, seconds)
                if state is not None and state.usable:
                    asked = ConditionRequest(ECHO, side, {"factor": 1.0})
                    got = client.preprocess(asked, noise, cancelled=never, deadline_s=DEADLINE_S)
                    costs.observe_transfer(entry.alias, "down", got.down.bytes, got.down.seconds)
                    seconds += got.down.seconds
                if seconds > SLOW_S:
                    return
    except TandemError as error:
        log.info("Tandem: link to %s not measured: %s", entry.alias, error)
