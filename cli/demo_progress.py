"""What a person sees of a run: a line a stage, a bar for what takes long."""

from __future__ import annotations

import time
from typing import Any

from tqdm import tqdm

from ..headless.graph import Graph
from ..headless.result import Event

SPOKEN = {
    "TandemLoadCompactModel": "Opening the model",
    "TandemPlanOffload": "Planning what runs where",
    "TandemRunConditions": "Running the detectors, here and on the worker",
    "TandemApplyConditions": "Putting the ControlNets behind the prompts",
    "KSampler": "Sampling",
    "VAEDecode": "Decoding the picture",
}
BARS = ("KSampler", "TandemRunConditions")


class Stages:
    """Tells what a run is at. Hand it to `ComfyApi.run` and close it afterwards."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._node: str | None = None
        self._bar: tqdm[Any] | None = None
        self._began = time.monotonic()

    def __call__(self, event: Event) -> None:
        if event.kind == "executing" and event.data["node"] != self._node:
            self._begin(event.data["node"])
        elif event.kind == "progress" and event.data.get("node") == self._node:
            self._advance(event.data["value"], event.data["max"])

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _begin(self, node: str | None) -> None:
        self.close()
        self._node = node
        kind = self._graph[node]["class_type"] if node in self._graph else ""
        if kind in SPOKEN:
            print(f"[{time.monotonic() - self._began:5.1f} s] {SPOKEN[kind]}", flush=True)

    def _advance(self, value: int, most: int) -> None:
        if self._graph[self._node or ""]["class_type"] not in BARS:
            return
        if self._bar is None:
            self._bar = tqdm(total=most, leave=False, ncols=79, mininterval=0.2, disable=None)
        self._bar.n = value
        self._bar.refresh()
