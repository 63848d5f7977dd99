"""A worker process, and a relay before it through which tests reach it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from comfyui_tandem.engine.offload import WorkerEntry
from comfyui_tandem.headless.worker import WorkerProcess

from .relay import Relay


@pytest.fixture(scope="module")
def garage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    with WorkerProcess.start("garage", log=tmp_path_factory.mktemp("worker") / "log") as worker:
        worker.wait_ready()
        yield worker


@pytest.fixture
def relay(garage: WorkerProcess) -> Iterator[Relay]:
    with Relay(garage.entry.url) as relay:
        yield relay


@pytest.fixture
def entry(garage: WorkerProcess, relay: Relay) -> WorkerEntry:
    """The worker behind the relay; its address is new, so no earlier failure is held against it."""
    return replace(garage.entry, url=relay.url)
