"""What tuning says of a rule follows from what is known of the sets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

pytestmark = pytest.mark.comfy
SEED, COUNT = 92, 12


@pytest.fixture(scope="module")
def looked() -> Iterator[Any]:
    import comfy.model_management
    from comfyui_tandem.benchmarks.scaling_draw import Studio
    from comfyui_tandem.benchmarks.scaling_tuning import look
    from comfyui_tandem.training.files import SHIPPED

    yield look(Studio(SHIPPED), COUNT, SEED)
    comfy.model_management.unload_all_models()


def test_a_rule_is_worth_what_it_tells_apart(looked: Any) -> None:
    from comfyui_tandem.benchmarks.scaling_tuning import tuned, worth
    from comfyui_tandem.engine.scaling.rule import Rule

    rule = Rule()
    blind = worth(looked, replace(rule, doubted=1.0, lowest=1.0))  # lowers nobody
    assert blind.good == pytest.approx(1)
    found = worth(looked, rule)
    assert found.bad < blind.bad and found.redundant == blind.redundant > 0.5
    assert worth(looked, tuned(looked, rule)).total >= found.total


def test_numbers_that_do_not_go_together_are_not_tried() -> None:
    from comfyui_tandem.benchmarks.scaling_tuning import TRIED, variants
    from comfyui_tandem.engine.scaling.rule import Rule

    agreed = [one.agreed for one in variants(replace(Rule(), alone=0.75), "agreed")]
    assert agreed == [value for value in TRIED["agreed"] if value > 0.75]
