"""Pictures, regions and prompts in turn that disagree on what is covered: which of them count."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from .chains import Sides, both, stock
from .core_nodes import core_nodes
from .narrow import sample
from .narrow_nets import asked, calls, control_net, hint
from .scaled import applied, reported

pytestmark = pytest.mark.comfy
STEPS = 4


@pytest.fixture(scope="module", autouse=True)
def release_own() -> Iterator[None]:
    yield
    prompted.cache_clear()
    hinted.cache_clear()


@cache
def prompted(times: float) -> Any:
    """What it says follows the prompt so much more; all are alike where the prompt is nothing."""
    made = control_net(21)
    for name, weight in made.control_model.named_parameters():
        if name.endswith("attn2.to_out.0.weight"):
            weight.data *= times
    return made


@cache
def hinted() -> Any:
    """What it says is mostly of its hint."""
    made = control_net(22)
    made.control_model.input_hint_block[-1].weight.data *= 3000
    return made


def deaf_and_led() -> list[Any]:
    return [asked(prompted(30.0), 0), asked(prompted(0.0), 0)]


def silent() -> list[Any]:
    """A prompt of zeros: the two nets say the same."""
    [[text, options]] = both()[0]
    return [text * 0, options]


def told() -> list[Any]:
    """A prompt that one of the two follows."""
    return both()[0][0]


def measured(positive: Sequence[Any], steps: int = 1) -> dict[str, Any]:
    """The row of the one that is covered, if one is."""
    sides: Sides = [*positive], both()[1]
    sides = applied(deaf_and_led(), sides)
    rows = reported(sides, sample(stock(), *sides, steps=steps))
    return max(rows, key=lambda row: row["cover"])


def test_regions_that_disagree_are_measured_together() -> None:
    import torch

    left = torch.zeros(1, 8, 8)
    left[..., :4] = 1.0
    [same], [apart] = [[measured([one])] for one in (silent(), told())]
    assert same["pruned"] and same["cover"] == pytest.approx(1.0) and not apart["pruned"]
    for first, second in ((silent(), told()), (told(), silent())):
        masked = [[first[0], {"mask": left}], [second[0], {"mask": 1 - left}]]
        assert apart["cover"] + 0.02 < measured(masked)["cover"] < 0.98
        areas = [
            [first[0], {"area": (8, 4, 0, 0), "strength": 1.0}],
            [second[0], {"area": (8, 8, 0, 0), "strength": 1.0}],
        ]  # of different sizes: calls of their own
        assert apart["cover"] + 0.02 < measured(areas)["cover"] < 0.98


def test_of_prompts_in_turn_the_first_decides() -> None:
    node = core_nodes().ConditioningSetTimestepRange()

    def in_turn(first: Any, second: Any) -> Sides:
        [one], [two] = node.set_range([first], 0.0, 0.5), node.set_range([second], 0.5, 1.0)
        return applied(deaf_and_led(), ([*one, *two], both()[1]))

    for first, second, is_pruned in ((silent(), told(), True), (told(), silent(), False)):
        sides = in_turn(first, second)
        with calls(prompted(30.0), prompted(0.0)) as counts:
            rows = reported(sides, sample(stock(), *sides, steps=STEPS))
        assert [row["pruned"] for row in rows] == [False, is_pruned]
        assert [count["net"] for count in counts] == [STEPS, 1 if is_pruned else STEPS]


def test_all_pictures_of_a_batch_count() -> None:
    """One picture's hints are the same, the other's are not."""
    import numpy as np

    def of(*seeds: int) -> Any:
        made = asked(hinted())
        pictures = tuple((hint(seed)[0].numpy() * 255).astype(np.uint8) for seed in seeds)
        photos = made.condition.photos * len(seeds)
        return replace(made, condition=replace(made.condition, photos=photos), pictures=pictures)

    def cover(*hints: Any, batch: int = 1) -> float:
        sides = applied(hints)
        rows = reported(sides, sample(stock(), *sides, steps=1, batch=batch))
        return max(row["cover"] for row in rows)

    apart = cover(of(5), of(6))
    assert apart < 0.9 and cover(of(0), of(0)) == pytest.approx(1.0)
    for one, other in ((of(0, 5), of(0, 6)), (of(5, 0), of(6, 0))):
        assert apart + 0.02 < cover(one, other, batch=2) < 0.98
