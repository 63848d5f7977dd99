"""Part of `offload`: preprocessing and sampling together, the paper's figure in our terms.

The demo family samples with a ControlNet on each of four hints, on one thread, after the last of
them is home. What it draws is not looked at: the hints are those of paced filters. In one cell
whole runs are timed; in the others what sampling took there is added to what hints took.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from .paced_lanes import Ran

if TYPE_CHECKING:
    from ..engine.offload import Outcome

CELL = (100.0, 2.0)  # Mbit/s, speed-up of the worker, where whole runs are timed
SIDES = ("planned", "all local", "all edge")
WORDS = ("a", "red", "figure", "in", "a", "meadow")


class Sampler:
    """Draws a picture with the first hints of a run."""

    def __init__(self, steps: int) -> None:
        from ..training.files import SHIPPED, open_family
        from .demo_hints import shipped_nets

        self._steps = steps
        self._family = open_family()
        self._nets = tuple(shipped_nets(self._family, SHIPPED).values())

    def seconds(self, outcome: Outcome) -> float:
        """What one picture takes."""
        import torch

        from ..engine.conditions import Photo
        from ..training.generate import Control, generate

        pictures = [torch.tensor(Photo.of_hint(h.pictures[0]).pixels) for h in outcome.hints]
        scaled = [
            torch.nn.functional.interpolate(one.movedim(-1, 0)[None] / 255, (128, 128))
            for one in pictures
        ]
        controls = tuple(map(Control, self._nets, scaled))  # as many as there are nets
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            began = time.monotonic()
            generate(self._family, [WORDS], 0, steps=self._steps, controls=controls)
            return time.monotonic() - began
        finally:
            torch.set_num_threads(threads)


def whole_runs(run: Callable[[str], Ran], steps: int, rounds: int) -> dict[str, Any]:
    """Seconds of whole runs by side, and of sampling alone; sides alternate."""
    sampler = Sampler(steps)
    sampler.seconds(run("planned").outcome)  # its first picture is slower
    whole: dict[str, list[float]] = {side: [] for side in SIDES}
    sampling: list[float] = []
    for turn in range(rounds):
        for side in SIDES[:: -1 if turn % 2 else 1]:
            ran = run(side)
            sampling.append(sampler.seconds(ran.outcome))
            whole[side].append(ran.seconds + sampling[-1])
    return {
        "sampling": statistics.median(sampling),
        **{side: statistics.median(seconds) for side, seconds in whole.items()},
    }


def latencies(cells: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Ratios of planned to unplanned; nothing without the cell of whole runs."""
    cells = list(cells)
    whole = next((cell["whole"] for cell in cells if cell["whole"]), None)
    if whole is None:
        return {}
    figures = {
        "latency_sampling_s": whole["sampling"],
        "latency_whole_vs_all_local_100mbit_x2": whole["planned"] / whole["all local"],
        "latency_whole_vs_all_edge_100mbit_x2": whole["planned"] / whole["all edge"],
    }
    for cell in cells:
        name = f"{cell['mbits']:g}mbit_x{cell['speedup']:g}"
        planned, *others = (cell[f"{side}_s"] + whole["sampling"] for side in SIDES)
        figures[f"latency_vs_all_local_{name}"] = planned / others[0]
        figures[f"latency_vs_best_trivial_{name}"] = planned / min(others)
    return figures
