"""The worker runs the same registry on its own model folder: same hints, bit by bit."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pytest
from comfyui_tandem.benchmarks.conditions import client_of, worker_with
from comfyui_tandem.benchmarks.made_graphs import write_identity, write_published
from comfyui_tandem.benchmarks.random_weights import SMALL, write_weights
from comfyui_tandem.engine.conditions import (
    DETECTORS,
    ConditionRequest,
    Models,
    detect,
    models,
    use_models,
)

from .material import noise, reference
from .test_made_networks import FORM

NEVER = threading.Event()
DEADLINE_S = 60.0


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_family_is_equal_here_and_there(tmp_path: Path) -> None:
    for name in SMALL:
        write_weights(name, tmp_path, reference())
    write_published(tmp_path)
    (tmp_path / "mine.json").write_text(json.dumps(FORM))
    write_identity(tmp_path / "mine.onnx", [1, 3, 32, 48])
    here, before = Models([tmp_path]), models()
    use_models(here)  # the client checks the hint's shape by the registry
    try:
        with worker_with([tmp_path]) as worker, client_of(worker.entry) as client:
            told = client.capabilities().detectors
            able = {name for name, state in told.items() if state.usable}
            assert able == {name for name in here.detectors if here.obstacle(name) is None}
            assert {"mine", "dwpose", *SMALL} <= able < {*DETECTORS, "mine"}
            photo = noise(72, 104)
            client.upload(photo, cancelled=NEVER, deadline_s=DEADLINE_S)
            for name in sorted(able):
                request = ConditionRequest(name, 64)
                answer = client.preprocess(request, photo, cancelled=NEVER, deadline_s=DEADLINE_S)
                mine = detect(request, photo, here)
                if here.detectors[name].files:
                    same_but_for_rounding(answer.picture, mine, name)
                else:
                    np.testing.assert_array_equal(answer.picture, mine, name)
    finally:
        use_models(before)


def same_but_for_rounding(there: np.ndarray, here: np.ndarray, name: str) -> None:
    """Of networks: bit by bit, but for what a sum in another order rounds to the next level."""
    assert there.shape == here.shape, name
    apart = np.abs(there.astype(int) - here.astype(int))
    assert apart.max() <= 1 and (apart > 0).mean() <= 1e-3, f"{name}: {apart.max()} apart"
