"""The rule on the demo family's own ControlNets, in ComfyUI's sampler."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytestmark = pytest.mark.comfy
SETS, SEED = 24, 91
LEAST_CORRELATION = 0.8


@pytest.fixture(scope="module")
def sets() -> tuple[Any, ...]:
    from comfyui_tandem.benchmarks.scaling_sets import block_of_sets

    return block_of_sets(SETS, SEED, slice(None)).sets


@pytest.fixture(scope="module")
def studio() -> Iterator[Any]:
    import comfy.model_management
    from comfyui_tandem.benchmarks.scaling_draw import Studio
    from comfyui_tandem.training.files import SHIPPED

    yield Studio(SHIPPED)
    comfy.model_management.unload_all_models()


def test_it_prunes_what_repeats_and_nothing_that_adds(studio: Any, sets: tuple[Any, ...]) -> None:
    pruned: dict[str, int] = {}
    for one in sets:
        rows = studio.estimate(one, 7)
        bad = [not asked.good for asked in one.asked]
        if one.family == "empty":
            assert [row.pruned for row in rows] == bad
            assert rows[bad.index(True)].reason == "its hint is one flat colour"
        pruned[one.family] = pruned.get(one.family, 0) + sum(row.pruned for row in rows)
    assert pruned["complementary"] == pruned["conflicting"] == pruned["wrong"] == 0
    redundant = sum(len(one.asked) - 1 for one in sets if one.family == "redundant")
    assert pruned["redundant"] >= 0.8 * redundant


def test_another_photos_hint_is_doubted(studio: Any, sets: tuple[Any, ...]) -> None:
    good: list[float] = []
    bad: list[float] = []
    for one in sets:
        if one.family in ("wrong", "conflicting", "complementary"):
            for asked, row in zip(one.asked, studio.estimate(one, 7), strict=True):
                (good if asked.good else bad).append(row.scale)
    assert sum(bad) / len(bad) < 0.75
    assert sum(good) / len(good) > 0.95


def test_other_noise_leads_to_the_same_decision(studio: Any, sets: tuple[Any, ...]) -> None:
    same = [
        len({tuple(row.pruned for row in studio.estimate(one, seed)) for seed in range(5)}) == 1
        for one in sets[:12]
    ]
    assert sum(same) >= 0.9 * len(same)


def test_order_does_not_matter(studio: Any, sets: tuple[Any, ...]) -> None:
    from dataclasses import replace

    for one in sets[:6]:
        turned = replace(one, asked=one.asked[::-1])
        here, there = studio.estimate(one, 7), studio.estimate(turned, 7)[::-1]
        assert [row.scale for row in here] == pytest.approx([row.scale for row in there], abs=0.01)


def test_the_step_that_decides_tells_of_all(studio: Any, sets: tuple[Any, ...]) -> None:
    import numpy as np
    from comfyui_tandem.benchmarks.scaling_probe import pushes_of_steps, rank_correlation

    runs = [pushes_of_steps(studio, one, 8) for one in sets[:12]]
    assert all(len(steps) == 8 for steps in runs)
    second = [push for steps in runs for push in steps[1]]
    mean = [push for steps in runs for push in np.mean(steps, 0)]
    assert rank_correlation(second, mean) >= LEAST_CORRELATION


def test_calls_are_counted_whether_scales_are_given_or_estimated(
    studio: Any, sets: tuple[Any, ...]
) -> None:
    from unittest import mock

    from .narrow_nets import calls

    [one, *_] = [one for one in sets if one.family == "redundant"]
    nets = [studio.nets[kind] for kind in {asked.net for asked in one.asked}]
    ones = [1.0] * len(one.asked)
    for strengths in (None, [*ones[1:], 0.0]):
        with calls(*nets) as counts:
            rows = studio.draw(one, strengths, 4, 7).rows
        assert sum(row.calls or 0 for row in rows) == sum(count["net"] for count in counts) > 0
        assert [row.calls is None for row in rows] == [False] * len(ones[1:]) + [bool(strengths)]
    with mock.patch.object(studio, "model", twice_a_step(studio.model)):
        assert [row.calls for row in studio.draw(one, ones, 4, 7).rows] == [8] * len(ones)


def twice_a_step(model: Any) -> Any:
    """Asks the UNet, and so the nets, twice for every prediction."""
    from comfy.patcher_extension import WrappersMP

    patched = model.clone()
    patched.add_wrapper_with_key(
        WrappersMP.PREDICT_NOISE, "twice", lambda run, *given: (run(*given), run(*given))[1]
    )
    return patched


def test_the_cost_of_estimating_has_all_parts(studio: Any, sets: tuple[Any, ...]) -> None:
    from unittest import mock

    from comfyui_tandem.benchmarks.scaling_probe import cost
    from comfyui_tandem.engine.scaling import estimator

    def slow(real: Any) -> Any:
        def call(*given: Any) -> Any:
            import time

            time.sleep(0.3)
            return real(*given)

        return call

    [one, *_] = sets
    with (
        mock.patch.object(estimator.Estimator, "finish", slow(estimator.Estimator.finish)),
        mock.patch.object(estimator, "write_all", slow(estimator.write_all)),
    ):
        assert cost(studio, one, 1)["estimator_s"] > 0.6
