"""A short form of the fault series: one of each kind, with every hint right and nothing lost."""

from __future__ import annotations

import pytest
from comfyui_tandem.benchmarks.faults import QUICK, measure


@pytest.mark.slow
def test_every_fault_ends_with_the_right_hints() -> None:
    found = measure(QUICK)
    assert found["failures"] == QUICK.kills + QUICK.cuts + QUICK.slowed + QUICK.garbage
    assert (found["wrong_hints"], found["lost_runs"]) == (0, 0)
