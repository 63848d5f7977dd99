"""Seeded offloading instances of every structure, as wide apart as real ones are.

Costs of 21 detectors on a laptop CPU are modelled, not measured: only their spread matters here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..engine.offload import LOCAL, Input, Instance, Lane, Task, Worker

STANDARD = ("real", "real_par", "flat", "anti", "hintheavy", "cold")
SEARCHED = ("own_inputs", "two_workers", "kslots", "chain")
FAMILIES = (*STANDARD, *SEARCHED)
# (seconds here, kB of its hint)
DETECTORS = (
    (0.006, 20), (0.02, 15), (0.03, 330), (0.05, 25), (0.09, 90), (0.35, 8), (0.4, 12),
    (0.55, 60), (0.8, 70), (1.1, 80), (1.5, 110), (2.2, 90), (2.8, 6), (3.1, 95), (3.8, 190),
    (6.5, 5), (7.2, 40), (8.5, 90), (11.0, 100), (19.0, 30), (46.0, 45),
)  # fmt: skip
CLASSICAL_S = 0.1  # faster than this gains nothing on a worker


@dataclass(frozen=True)
class Draw:
    """What an instance is drawn from, but for its family; None: drawn as well."""

    bytes_per_s: float | None = None
    speedup: float | None = None


def instance(family: str, tasks: int, seed: int, draw: Draw = Draw()) -> Instance:
    """One instance of a family; the same for the same arguments."""
    chance = np.random.Generator(np.random.PCG64([*family.encode(), tasks, seed]))
    workers = _workers(family, chance, draw)
    speedup = draw.speedup or _log_uniform(chance, 1, 20)
    made: list[Task] = []
    for number in range(tasks):
        here, size = _detector(family, chance)
        run = {LOCAL: here}
        for worker in workers:
            gain = speedup * chance.lognormal(0, 0.4 if draw.speedup is None else 0.3)
            if family == "anti":
                gain = max(1.0, gain / (1 + here))
            run[worker.id] = here if here < CLASSICAL_S else here / gain
        if family == "cold":
            run = {
                lane: seconds + (chance.uniform(0.1, 1.5) if chance.random() < 0.5 else 0.0)
                for lane, seconds in run.items()
            }
        if chance.random() < 0.05:
            del run[workers[0].id]
        needs = [f"photo{number}" if family == "own_inputs" else "photo0"]
        if family == "chain" and number and chance.random() < 0.35:
            needs.append(f"t{chance.integers(number):02}")
        made.append(Task(f"t{number:02}", tuple(needs), run, size))
    photos = tuple(
        Input(
            f"photo{number}",
            chance.uniform(5e4, 9e5) if family == "own_inputs" else chance.uniform(1.5e5, 7e5),
            chance.uniform(0, 0.15),
        )
        for number in range(tasks if family == "own_inputs" else 1)
    )
    slots = int(chance.integers(1, 3)) if family == "kslots" else 1
    return Instance(tuple(made), photos, Lane(slots), workers)


def _workers(family: str, chance: np.random.Generator, draw: Draw) -> tuple[Worker, ...]:
    made: list[Worker] = []
    shared = chance.random() < 0.5
    for number in range(2 if family == "two_workers" else 1):
        up = draw.bytes_per_s or _log_uniform(chance, 1, 1000) * 1e6 / 8
        down = up * (_log_uniform(chance, 1, 8) if chance.random() < 0.5 else 1.0)
        slots = {"real_par": 0, "kslots": int(chance.integers(2, 5))}.get(family, 1)
        if family == "two_workers":
            slots = int(chance.integers(0, 3))
        latency = _log_uniform(chance, 0.001, 0.06)
        made.append(Worker(f"w{number}", up, down, slots, latency_s=latency))
    if family == "two_workers" and shared:  # one access line has one rate
        first = made[0]
        made = [
            replace(
                worker,
                link="line",
                up_bytes_per_s=first.up_bytes_per_s,
                down_bytes_per_s=first.down_bytes_per_s,
            )
            for worker in made
        ]
    return tuple(made)


def _detector(family: str, chance: np.random.Generator) -> tuple[float, float]:
    """Seconds here, bytes of the hint."""
    if family == "flat":
        return chance.uniform(0.2, 2), chance.uniform(5e3, 4e5)
    here, size = DETECTORS[chance.integers(len(DETECTORS))]
    size = 1e3 * size * chance.lognormal(0, 0.3) * (10 if family == "hintheavy" else 1)
    return here * chance.lognormal(0, 0.25), size


def _log_uniform(chance: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(chance.uniform(np.log(low), np.log(high))))
