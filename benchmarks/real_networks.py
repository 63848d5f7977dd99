"""Part of `offload`, of a full run alone: the same with networks that really compute on both lanes.

The real architectures of controlnet-aux with random weights, which cost what trained ones do. Each
lane has one thread, and so one of two cores. The worker runs at its own speed, this machine sleeps
after each until SPEEDUP times what the network takes have passed.
"""

from __future__ import annotations

import itertools
import os
import statistics
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

from ..engine.conditions import ConditionRequest, Models, detect, models, use_models
from ..engine.conditions.reference.package import reference_module
from .paced_lanes import Bench, Ran, paced_worker, photo, profiles, scaled
from .paces import Paces
from .random_weights import write_weights
from .shaped import place, reached
from .worker import SIDE_PX, picture

NAMES = ("softedge_hed", "softedge_pidinet", "softedge_teed", "mlsd", "lineart")
SIDES = ("planned", "all local", "all edge")
MBITS, SPEEDUP, ROUNDS = 100.0, 2.0, 3
THREADS = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}


def network_figures(kernel: bool) -> dict[str, float]:
    """Medians of each side's seconds, ours as a share of the better of both others, wrong hints.

    No share of a simulated gain: a plan made after a copy was stopped counts loading again, which
    the measured sides do not pay.
    """
    rate = MBITS * 1e6 / 8
    with TemporaryDirectory() as folder, _models_in(Path(folder)), _one_thread():
        alone = {name: _seconds(name) for name in NAMES}
        ran = _runs(alone, Path(folder), rate, kernel)
    seconds = {side: statistics.median(run.seconds for run in ran[side]) for side in SIDES}
    best = min(seconds["all local"], seconds["all edge"])
    errors = [abs(run.offload.plan.makespan_s / run.seconds - 1) for run in ran["planned"]]
    return {
        "networks_least_s": min(alone.values()),
        "networks_most_s": max(alone.values()),
        **{f"networks_{side.replace(' ', '_')}_s": value for side, value in seconds.items()},
        "networks_vs_best_trivial": seconds["planned"] / best,
        "networks_above_trivial_pct": 100 * max(0.0, seconds["planned"] / best - 1),
        "networks_prediction_error_median_pct": 100 * statistics.median(errors),
        "networks_wrong_hints": sum(not run.right for runs in ran.values() for run in runs),
    }


def _runs(alone: Paces, folder: Path, rate: float, kernel: bool) -> dict[str, list[Ran]]:
    here, numbers = scaled(alone, SPEEDUP), itertools.count(1000)
    ran: dict[str, list[Ran]] = {side: [] for side in SIDES}
    with (
        place(rate, kernel=kernel) as where,
        paced_worker(where, {}, folder) as worker,
        reached(where, worker.port, rate) as url,
    ):
        bench, entry = Bench(here, profiles(here, alone)), worker.entry(url)

        def run(side: str) -> Ran:
            return bench.run(bench.plan(side, entry, photo(next(numbers))))

        for side in ("all edge", "all local", "planned"):  # loads both sides' networks
            run(side)
        for turn in range(ROUNDS):
            for side in SIDES[:: -1 if turn % 2 else 1]:
                ran[side].append(run(side))
    return ran


def _seconds(name: str) -> float:
    """What a network takes here alone, once it is loaded."""
    request, given, took = ConditionRequest(name, SIDE_PX), picture(), list[float]()
    detect(request, given)
    for _ in range(3):
        began = time.monotonic()
        detect(request, given)
        took.append(time.monotonic() - began)
    return statistics.median(took)


@contextmanager
def _models_in(folder: Path) -> Generator[None]:
    """Detectors find their weights there, and nowhere else."""
    for name in NAMES:
        write_weights(name, folder, reference_module)
    before = models()
    use_models(Models([folder]))
    try:
        yield
    finally:
        use_models(before)


@contextmanager
def _one_thread() -> Generator[None]:
    """Here, and in processes that are started meanwhile."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with patch.dict(os.environ, THREADS):
            yield
    finally:
        torch.set_num_threads(threads)
