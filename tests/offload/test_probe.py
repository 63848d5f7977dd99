"""A link that is not known is measured before the first plan, over a line of known rate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from comfyui_tandem.engine.conditions import Condition, ConditionRequest, Photo
from comfyui_tandem.engine.offload import Costs, WorkerEntry, plan_conditions
from comfyui_tandem.engine.offload.costs import PRIOR_BYTES_PER_S
from comfyui_tandem.headless.line import Line
from comfyui_tandem.headless.worker import WorkerProcess

from .relay import Relay

pytestmark = pytest.mark.quick
RATE, DELAY_S = 2.5e6, 0.01


@pytest.fixture(scope="module")
def entry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerEntry]:
    log = tmp_path_factory.mktemp("worker") / "log"
    with WorkerProcess.start("garage", log=log) as worker:
        worker.wait_ready()
        with Line(worker.entry.url, RATE, RATE, DELAY_S) as line:
            yield replace(worker.entry, url=line.url)


def condition(where: str = "auto") -> Condition:
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    return Condition(ConditionRequest("canny", 64, where=where), (Photo(picture),))


def test_a_first_plan_knows_the_rate_and_a_second_does_not_ask_again(entry: WorkerEntry) -> None:
    costs = Costs()
    [worker] = plan_conditions([condition()], [entry], costs).instance.workers
    for rate in (worker.up_bytes_per_s, worker.down_bytes_per_s):
        assert rate < 0.8 * PRIOR_BYTES_PER_S, "the line lets no more through"
    assert all(costs.is_link_known("garage", way) for way in ("up", "down"))
    calls: list[tuple[object, ...]] = []
    costs.observe_transfer = lambda *one: calls.append(one)  # type: ignore[method-assign]
    plan_conditions([condition()], [entry], costs)
    assert calls == []


def test_a_probe_of_a_slow_link_stops_after_its_first_piece(entry: WorkerEntry) -> None:
    with Line(entry.url, 2e5, 2e5, 0.0) as line:
        costs, sizes = Costs(), []
        observe = costs.observe_transfer

        def noted(worker: str, way: str, size: float, seconds: float) -> None:
            sizes.append(size)
            observe(worker, way, size, seconds)

        costs.observe_transfer = noted  # type: ignore[method-assign]
        plan_conditions([condition()], [replace(entry, url=line.url)], costs)
        assert len(sizes) == 2 and max(sizes) < 100_000, "one piece up, one down"


def test_a_far_worker_is_not_probed_again_and_again(entry: WorkerEntry) -> None:
    """Its round trip of over a second says enough; a probe would not end in time."""
    costs = Costs()
    with Line(entry.url, RATE, RATE, delay_s=0.75) as line, Relay(line.url) as relay:
        for _ in range(2):
            offload = plan_conditions([condition()], [replace(entry, url=relay.url)], costs)
            assert offload.notes == ()
            assert offload.instance.workers[0].latency_s > 0.5
        assert relay.puts() == 0


def test_what_stays_here_probes_nothing(entry: WorkerEntry, tmp_path: Path) -> None:
    costs = Costs()
    plan_conditions([condition("this machine")], [entry], costs)
    assert not costs.is_link_known("garage", "up")
