"""Part of `faults`: how long a run takes to end when it is cancelled, whatever its lanes are at."""

from __future__ import annotations

import random
import statistics
import threading
import time

from ..engine.offload import Cancelled
from ..headless.line import Line
from .paced_lanes import Bench, paced_worker, photo, profiles, scaled
from .paces import Paces
from .shaped import Place
from .worker_process import quantile

FIRST_PHOTO = 5000  # none of the failures'
SHARE = 0.9  # of the plan: later ones often come after the end


def cancel_figures(
    count: int, here: Paces, speedup: float, rate: float, where: Place
) -> dict[str, float]:
    """Seconds from a cancel at a random moment of `count` runs on both lanes to their end.

    A run that was over before its cancel is not counted.
    """
    there = scaled(here, 1 / speedup)
    took: list[float] = []
    with (
        paced_worker(where, there) as worker,
        Line(f"http://{where.host}:{worker.port}", rate, rate) as line,
    ):
        bench, entry = Bench(here, profiles(here, there)), worker.entry(line.url)
        for number in range(count):
            offload = bench.plan("planned", entry, photo(FIRST_PHOTO + number))
            chance = random.Random(f"cancel {number}")  # noqa: S311
            cancelled = _Moment(chance.uniform(0.0, SHARE * offload.plan.makespan_s))
            try:
                bench.run(offload, cancelled.event)
            except Cancelled:
                took.append(cancelled.seconds_since())
            finally:
                cancelled.timer.cancel()
    return {
        "cancelled_runs": len(took),
        "cancel_run_median_s": statistics.median(took),
        "cancel_run_p99_s": quantile(took, 0.99),
    }


class _Moment:
    """A cancel in so many seconds, that remembers when it was."""

    def __init__(self, after_s: float) -> None:
        self.event = threading.Event()
        self._at = time.monotonic()
        self.timer = threading.Timer(after_s, self._set)
        self.timer.start()

    def _set(self) -> None:
        self._at = time.monotonic()
        self.event.set()

    def seconds_since(self) -> float:
        return time.monotonic() - self._at
