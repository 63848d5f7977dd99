"""Run over a shaped link, plans bring what they promised and never lose to one side alone.

A real worker process; the link is shaped by the kernel where that is allowed, else by a relay.
Each lane's detectors are real filters, slowed by sleep to times as networks have them (NETWORKS,
given, not measured), divided by the speed-up on the worker: two lanes that compute on two cores
would measure each other. A full run also has one cell of real networks. Sides alternate; each run
sends a photo of its own.
"""

from __future__ import annotations

import itertools
import json
import statistics
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..engine.offload import plan
from .hints_and_picture import CELL, latencies, whole_runs
from .paced_lanes import Bench, Ran, over_true_link, paced_worker, photo, profiles, scaled
from .paces import Paces
from .real_networks import network_figures
from .shaped import kernel_can, place, reached
from .share_rates import rate_errors_pct

# Seconds of one run on this machine.
NETWORKS = {"canny": 1.0, "scribble": 0.7, "blur": 0.5, "tile": 1.5, "lineart_standard": 0.3}
MBITS = (10.0, 100.0, 1000.0)
SPEEDUPS = (1.0, 2.0, 4.0)
SIDES = ("planned", "all local", "all edge", "shares")
GATED = 0.10  # simulated gain from which on a cell counts for what was reached
CELLS = Path(__file__).resolve().parents[1] / "test_output" / "offload_cells.json"


@dataclass(frozen=True)
class Settings:
    """Which cells, and how often each side runs in one."""

    mbits: tuple[float, ...] = MBITS
    speedups: tuple[float, ...] = SPEEDUPS
    rounds: int = 5
    pace: float = 1.0  # of the networks' times
    steps: int = 20  # of sampling, in whole runs
    whole_rounds: int = 3


QUICK = Settings(mbits=(100.0,), speedups=(2.0,), rounds=1, pace=0.5, steps=2, whole_rounds=1)
EXACT = ("wrong_hints", "edge_tasks_exact_plan")


def measure(settings: Settings) -> dict[str, float]:
    """All figures; finished cells of a full run that was stopped are not run again."""
    kernel = kernel_can()
    cells = [
        _cell(settings, mbits, speedup, kernel)
        for mbits, speedup in itertools.product(settings.mbits, settings.speedups)
    ]
    gated = [cell for cell in cells if cell["simulated_gain"] >= GATED]
    figures = {
        "gain_reached_min": min((cell["reached"] for cell in gated), default=float("nan")),
        "cells_gated": len(gated),
        "above_trivial_measured_pct": max(cell["above_trivial_pct"] for cell in cells),
        "prediction_error_median_pct": 100
        * statistics.median(error for cell in cells for error in cell["errors"]),
        "vs_shares": statistics.mean(cell["planned_s"] / cell["shares_s"] for cell in cells),
        "vs_all_local": statistics.mean(cell["planned_s"] / cell["all local_s"] for cell in cells),
        "vs_all_edge": statistics.mean(cell["planned_s"] / cell["all edge_s"] for cell in cells),
        "wrong_hints": sum(cell["wrong"] for cell in cells),
        "moved": sum(cell["moved"] for cell in cells),
        "edge_tasks_exact_plan": edge_tasks(),
        "shaped_by_kernel": float(kernel),
        **latencies(cells),
        **rate_errors_pct(),
        **(network_figures(kernel) if settings == Settings() else {}),
    }
    for cell in cells:
        name = f"{cell['mbits']:g}mbit_x{cell['speedup']:g}"
        for side in SIDES:
            figures[f"{side.replace(' ', '_')}_s_{name}"] = cell[f"{side}_s"]
        figures[f"simulated_gain_pct_{name}"] = 100 * cell["simulated_gain"]
    return {name: value for name, value in figures.items() if value == value}


def _cell(settings: Settings, mbits: float, speedup: float, kernel: bool) -> dict[str, Any]:
    full = settings == Settings()
    key = json.dumps([asdict(settings), NETWORKS, mbits, speedup, kernel])
    kept = json.loads(CELLS.read_text("utf-8")) if full and CELLS.exists() else {}
    if key not in kept:
        kept[key] = _measured(settings, mbits, speedup, kernel)
        if full:
            CELLS.parent.mkdir(parents=True, exist_ok=True)
            CELLS.write_text(json.dumps(kept), "utf-8")
    return kept[key]


def _measured(settings: Settings, mbits: float, speedup: float, kernel: bool) -> dict[str, Any]:
    rate = mbits * 1e6 / 8
    here = scaled(NETWORKS, settings.pace)
    there = scaled(here, 1 / speedup)
    ran: dict[str, list[Ran]] = {side: [] for side in SIDES}
    numbers = itertools.count()
    with (
        place(rate, kernel=kernel) as where,
        paced_worker(where, there) as worker,
        reached(where, worker.port, rate) as url,
    ):
        bench, entry = Bench(here, profiles(here, there)), worker.entry(url)

        def run(side: str) -> Ran:
            return bench.run(bench.plan(side, entry, photo(next(numbers))))

        for side in ("all edge", "planned"):  # connections, the link's rate, both lanes' habits
            run(side)
        for sides in itertools.islice(_alternating(), settings.rounds):
            for side in sides:
                ran[side].append(run(side))
        timed_whole = (mbits, speedup) == CELL
        whole = whole_runs(run, settings.steps, settings.whole_rounds) if timed_whole else None
    seconds = {side: statistics.median(run.seconds for run in ran[side]) for side in SIDES}
    best = min(seconds["all local"], seconds["all edge"])
    exact = plan(over_true_link(ran["planned"][-1].offload, rate).instance)
    trivial = min(each for each in (exact.all_local_s, exact.all_edge_s) if each is not None)
    gain = trivial - exact.makespan_s
    every = [run for runs in ran.values() for run in runs]
    return {
        "mbits": mbits,
        "speedup": speedup,
        **{f"{side}_s": value for side, value in seconds.items()},
        "simulated_gain": gain / trivial,
        "reached": (best - seconds["planned"]) / gain if gain > 0 else 1.0,
        "above_trivial_pct": 100 * max(0.0, seconds["planned"] / best - 1),
        "errors": [abs(run.offload.plan.makespan_s / run.seconds - 1) for run in ran["planned"]],
        "wrong": sum(not run.right for run in every),
        "whole": whole,
        "moved": sum(row.status == "moved" for run in every for row in run.outcome.rows),
    }


def _alternating() -> Iterator[tuple[str, ...]]:
    """A B C D, D C B A, ...: drift hits all sides."""
    while True:
        yield SIDES
        yield SIDES[::-1]


def edge_tasks() -> float:
    """Tasks on the worker over all nine cells, planned without a run: the same on any machine."""
    return float(sum(_edge_tasks(m, s, NETWORKS) for m in MBITS for s in SPEEDUPS))


def _edge_tasks(mbits: float, speedup: float, paces: Paces) -> int:
    from ..engine.offload import LOCAL, Input, Instance, Task, Worker

    rate = mbits * 1e6 / 8
    tasks = tuple(
        Task(name, ("photo",), {LOCAL: seconds, "w": seconds / speedup}, 60_000)
        for name, seconds in paces.items()
    )
    case = Instance(tasks, (Input("photo", 450_000, 0.02),), workers=(Worker("w", rate, rate),))
    return sum(lane == "w" for lane in plan(case).lane.values())
