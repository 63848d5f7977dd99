"""Pictures that `scaling` draws in one batch are those that it draws one by one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from unittest import mock

import pytest

pytestmark = pytest.mark.comfy
SEED, STEPS = 91, 2


@pytest.fixture(scope="module")
def studio() -> Iterator[Any]:
    import comfy.model_management
    from comfyui_tandem.benchmarks.scaling_draw import Studio
    from comfyui_tandem.training.files import SHIPPED

    yield Studio(SHIPPED)
    comfy.model_management.unload_all_models()


@pytest.fixture(scope="module")
def block() -> Any:
    """Three sets of edges, depth and segments in orders of their own, one of two edges alone."""
    from comfyui_tandem.benchmarks.scaling_sets import Block, block_of_sets

    whole = block_of_sets(24, SEED, slice(None))
    nets = [sorted(asked.net for asked in one.asked) for one in whole.sets]
    alike = [row for row, each in enumerate(nets) if each == ["depth", "edge", "seg"]][:3]
    other = nets.index(["edge", "edge"])
    some = whole.only(alike[0], other, *alike[1:])
    sets = [
        replace(one, asked=one.asked[at % 3 :] + one.asked[: at % 3])
        for at, one in enumerate(some.sets)
    ]
    return Block(tuple(sets), some.truth)


@pytest.mark.parametrize("by_net", [{}, {"edge": 0.25, "depth": 0.5}, {"seg": 0.0}])
def test_a_batch_draws_what_single_runs_draw(studio: Any, block: Any, by_net: Any) -> None:
    from comfyui_tandem.benchmarks.scaling_batches import draw_given

    strengths = [[by_net.get(asked.net, 1.0) for asked in one.asked] for one in block.sets]
    with mock.patch.object(studio, "draw_alike", wraps=studio.draw_alike) as batch:
        together = draw_given(studio, block.sets, strengths, STEPS)
    assert [len(call.args[0]) for call in batch.call_args_list] == [3, 1]
    for one, own, made in zip(block.sets, strengths, together, strict=True):
        alone = studio.draw(one, own, STEPS, one.number)
        assert made.rows == alone.rows
        assert [row.scale.scale for row in made.rows] == own
        assert [row.calls for row in made.rows] == [STEPS if s else None for s in own]
        assert made.picture.shape == alone.picture.shape == (1, 3, 128, 128)
        assert (made.picture - alone.picture).abs().max() < 1e-4


def test_strengths_stay_with_their_hints(studio: Any, block: Any) -> None:
    """Of two hints of one net, the one that is asked for less."""
    from comfyui_tandem.benchmarks.scaling_batches import draw_given

    one = block.sets[1]
    turned = replace(one, asked=one.asked[::-1])
    drawn = draw_given(
        studio, [one, turned, turned], [(1.0, 0.25), (0.25, 1.0), (1.0, 0.25)], STEPS
    )
    same, other = ((drawn[0].picture - drawn[at].picture).abs().max() for at in (1, 2))
    assert same < 1e-4 < 1e-3 < other


def test_scores_of_a_block_are_those_of_its_sets(studio: Any, block: Any) -> None:
    from comfyui_tandem.benchmarks.scaling_search import Search
    from comfyui_tandem.training.files import open_judge

    renders = dict.fromkeys(("edge", "depth", "seg", "pose", "prompt"), 1.0)
    scales = {"edge": 0.5, "depth": 1.0, "seg": 0.25}
    search = Search(studio, open_judge(), block, renders, STEPS)
    with mock.patch.object(studio, "draw_alike", wraps=studio.draw_alike) as batch:
        found = search.scores(search.of_nets(scales))
        assert search.scores(search.of_nets(scales)) == found and batch.call_count == 2
        search.scores(search.of_nets({**scales, "depth": 0.5}))
    assert [len(call.args[0]) for call in batch.call_args_list] == [3, 1, 3]  # edges are known
    for row, score in enumerate(found):
        alone = Search(studio, open_judge(), block.only(row), renders, STEPS)
        assert alone.scores(alone.of_nets(scales)) == pytest.approx([score], abs=1e-3)


def test_parts_of_given_and_estimated_arms_have_the_same_sets(
    studio: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from comfyui_tandem.benchmarks import scaling
    from comfyui_tandem.benchmarks.scaling_figures import joined

    monkeypatch.setattr(scaling, "GIVEN_BLOCK", 6)
    monkeypatch.setattr(scaling, "_studio", lambda _: studio)
    done: dict[str, Any] = {"fixed": dict.fromkeys(("edge", "depth", "seg", "pose"), 0.75)}
    parts = scaling.parts(scaling.Settings(sets=18, steps=1))
    arms = [name for name in parts if name.startswith(("fixed_", "estimated_"))]
    assert arms == ["estimated_0", "estimated_12", "fixed_0", "fixed_6", "fixed_12"]
    done |= {name: parts[name].make(done) for name in arms}
    given, estimated = joined(done, "fixed_"), joined(done, "estimated_")
    for key in ("family", "judged", "good"):
        assert [one[key] for one in given] == [one[key] for one in estimated]
    assert all(set(one["scales"]) == {0.75} for one in given)
