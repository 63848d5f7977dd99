"""How far an exported network is from PyTorch's, and what a call of each takes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from ..errors import BadInput

MOST = {"fp32": 1e-4, "int8": 0.1}  # relative difference above which an export is refused
ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Difference:
    """largest: absolute. relative: root mean square, as a share of what is right."""

    largest: float
    relative: float

    @classmethod
    def of(cls, found: Tensor, right: Tensor) -> Difference:
        off = found - right
        return cls(float(off.abs().max()), float(off.norm() / right.norm()))

    def check(self, what: str, precision: str) -> None:
        """Raises:
        BadInput: more than can be rounding; also if something is not finite.
        """
        if not self.relative <= MOST[precision]:
            seen = f"{self.relative:.2g} off PyTorch's, relative"
            raise BadInput(f"{what} in {precision}", seen, "report it, with the model's name")


def worst(differences: list[Difference]) -> Difference:
    return Difference(
        max(each.largest for each in differences), max(each.relative for each in differences)
    )


def call_seconds(
    calls: Mapping[str, Callable[[], object]], rounds: int = ROUNDS
) -> dict[str, float]:
    """Median seconds of each call; they take turns, so that a busy machine hits all of them.

    A first round is not counted: there memory is got.
    """
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for counted in range(rounds + 1):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            if counted:
                taken[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in taken.items()}


def told(seconds: Mapping[str, float], precision: str) -> str:
    """The times side by side, and what they mean for someone who chose this precision."""
    names = {"pytorch": "PyTorch", "fp32": "ONNX fp32", "int8": "ONNX int8"}
    times = ", ".join(f"{names[name]} {value:.3g} s" for name, value in seconds.items())
    fastest = min(seconds, key=lambda name: seconds[name])
    said = f"a call: {times}; fastest: {names[fastest]}"
    if precision == "int8" and "fp32" in seconds and seconds["int8"] > seconds["fp32"]:
        ratio = seconds["int8"] / seconds["fp32"]
        said += f". int8 is {ratio:.2f} times as slow as fp32: it saves space, not time"
    if precision in seconds and seconds[precision] > seconds.get("pytorch", float("inf")):
        ratio = seconds[precision] / seconds["pytorch"]
        said += f". It is {ratio:.2f} times as slow as PyTorch"
    return said
