"""Seeded instances of every structure, and an oracle that shares no code with the planner."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

from comfyui_tandem.engine.offload.instance import LOCAL, Input, Instance, Lane, Task, Worker
from comfyui_tandem.engine.offload.simulate import run_order

KINDS = ("standard", "own photos", "slots", "two workers", "chains", "half duplex")


def case(kind: str, tasks: int, seed: int) -> Instance:
    """A random instance; times, sizes and rates spread as widely as real ones."""
    chance = random.Random(f"{kind} {tasks} {seed}")
    several = kind in ("two workers", "chains")
    workers = tuple(
        Worker(
            f"w{number}",
            up_bytes_per_s=10 ** chance.uniform(5, 8),
            down_bytes_per_s=10 ** chance.uniform(5, 8),
            slots=chance.choice([2, 3]) if kind == "slots" else chance.choice([0, 1]),
            ready_s=chance.choice([0.0, chance.uniform(0, 0.3)]),
            latency_s=chance.uniform(0.001, 0.06),
            link="lan" if several and seed % 2 else "",
        )
        for number in range(2 if several else 1)
    )
    own = kind in ("own photos", "half duplex")
    photos = tuple(
        Input(
            f"photo{number}",
            chance.uniform(5e4, 9e5),
            chance.uniform(0, 0.15),
            other_bytes={"w0": 4e5} if seed % 3 == 0 else {},
        )
        for number in range(tasks if own else 1)
    )
    return Instance(
        tuple(_task(kind, number, workers, photos, chance) for number in range(tasks)),
        photos,
        Lane(chance.choice([1, 2]) if kind == "slots" else 1, chance.choice([0.0, 0.1])),
        workers,
        {"lan": "half", "w0": "half"} if kind == "half duplex" else {},
    )


def _task(
    kind: str,
    number: int,
    workers: tuple[Worker, ...],
    photos: tuple[Input, ...],
    chance: random.Random,
) -> Task:
    here = 10 ** chance.uniform(-2, 1)
    run = {worker.id: here / chance.uniform(0.5, 12) for worker in workers if chance.random() < 0.9}
    if not run or chance.random() < 0.85:
        run[LOCAL] = here
    needs = [photos[number % len(photos)].id]
    if kind == "chains" and number and chance.random() < 0.35:
        needs.append(f"t{chance.randrange(number)}")
    return Task(f"t{number}", tuple(needs), run, 10 ** chance.uniform(3.5, 5.7))


def all_assignments(instance: Instance) -> Iterator[dict[str, str]]:
    for lanes in itertools.product(*(task.run for task in instance.tasks)):
        yield dict(zip(instance.task, lanes, strict=True))


def best_by_trial(instance: Instance) -> float:
    """The least makespan over every assignment and every order."""
    return min(
        run_order(instance, lanes, order, {}).makespan_s
        for lanes in all_assignments(instance)
        for order in itertools.permutations(instance.task)
    )
