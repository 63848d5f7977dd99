"""Conditions to plan, their plans run, their hints checked."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest
from comfyui_tandem.engine.conditions import Condition, ConditionRequest, Photo, detect
from comfyui_tandem.engine.offload import Costs, Offload, Outcome, lanes, outlook, run_lanes


def photo(seed: int = 0, side: int = 256) -> Photo:
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 18, 3), dtype=np.uint8)
    return Photo(np.asarray(cv2.resize(coarse, (side * 3 // 2, side)), dtype=np.uint8))


def condition(detector: str, *photos: Photo, where: str = "auto", px: int = 256) -> Condition:
    request = ConditionRequest(detector, resolution=px, where=where)
    return Condition(request, photos or (photo(),))


def at_edge(offload: Offload) -> Offload:
    """The same conditions, all planned for the worker, this machine being thought slow."""
    [worker] = offload.instance.workers
    tasks = tuple(
        replace(task, run={lane: 9.0 if lane == "local" else s for lane, s in task.run.items()})
        for task in offload.instance.tasks
    )
    instance = replace(offload.instance, tasks=tasks)
    lane = {task.id: worker.id if worker.id in task.run else "local" for task in tasks}
    return replace(offload, instance=instance, plan=replace(offload.plan, lane=lane))


def run(offload: Offload, costs: Costs | None = None) -> Outcome:
    return run_lanes(offload, costs or Costs(), report=lambda _: None, cancelled=threading.Event())


def check_hints(offload: Offload, outcome: Outcome) -> None:
    assert len(outcome.hints) == len(offload.conditions)
    for asked, hint in zip(offload.conditions, outcome.hints, strict=True):
        assert hint.condition is asked
        for picture, given in zip(hint.pictures, asked.photos, strict=True):
            np.testing.assert_array_equal(picture, detect(asked.request, given))


LONG_S = 60.0  # until a test gives up on what takes a moment, or seconds on a busy machine


def wait_until(what: Callable[[], object]) -> None:
    ends = time.monotonic() + LONG_S
    while not what():
        assert time.monotonic() < ends, f"not within {LONG_S} s"
        time.sleep(0.01)


def threads_end() -> bool:
    """Whether all threads of runs and requests end, sooner than a request to a silent worker."""
    ends = time.monotonic() + LONG_S / 2
    while time.monotonic() < ends:
        if not any(thread.name.startswith("tandem-") for thread in threading.enumerate()):
            return True
        time.sleep(0.02)
    return False


class Gate:
    """A detector on this machine that begins, and ends when a test lets it go on."""

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.asked: list[str] = []

    def __call__(self, request: ConditionRequest, given: Photo) -> np.ndarray:
        self.asked.append(request.detector)
        self.begun.set()
        assert self.go_on.wait(LONG_S)
        return detect(request, given)


def held_here(monkeypatch: pytest.MonkeyPatch) -> Gate:
    """Detectors on this machine end when the gate is opened."""
    gate = Gate()
    monkeypatch.setattr(lanes, "detect", gate)
    return gate


def nobody_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy this machine is, so that a fault is told before a delay is."""
    monkeypatch.setattr(outlook, "OVERDUE_LEAST_S", LONG_S)


def slow_here(monkeypatch: pytest.MonkeyPatch, seconds: float) -> list[str]:
    """Detectors on this machine take longer; what they were asked for."""
    asked: list[str] = []

    def slow(request: ConditionRequest, given: Photo) -> np.ndarray:
        asked.append(request.detector)
        time.sleep(seconds)
        return detect(request, given)

    monkeypatch.setattr(lanes, "detect", slow)
    return asked
