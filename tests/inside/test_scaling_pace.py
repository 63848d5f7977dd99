"""Conditions that say the same are asked less often, and silent ones no more: by calls."""

from __future__ import annotations

from typing import Any

import pytest

from .chains import adapter, both, foreign_net, net, stock
from .narrow import conditioning as prompt
from .narrow import sample
from .narrow_nets import asked, calls
from .scaled import applied, applied_by, reported

pytestmark = pytest.mark.comfy
STEPS = 8


def paced(unchanged: float, least: float = 0.0, least_push: float = 0.1) -> Any:
    from comfyui_tandem.engine.scaling.rule import Rule
    from comfyui_tandem.engine.scaling.settings import Pace, Settings

    return Settings(Rule(least_push=least_push), pace=Pace(unchanged, least))


def two() -> list[Any]:
    return [asked(net(0), 0, strength=0.9), asked(net(1), 1, strength=0.8)]


def test_what_changes_is_asked_on_every_step() -> None:
    import torch

    sides = applied_by(paced(0.0), two())
    found = sample(stock(), *sides, steps=STEPS)
    assert torch.equal(found, sample(stock(), *applied(two()), steps=STEPS))
    assert [(r["calls"], r["reused"], r["ended"]) for r in reported(sides, found)] == [
        (STEPS, 0, False)
    ] * 2


@pytest.mark.parametrize("more", [{}, {"cfg": 1.0}, {"batch": 2}])
def test_what_stays_the_same_is_asked_on_every_second_step(more: dict[str, Any]) -> None:
    """Twice to see that it stays the same, then on every second step."""
    import torch

    sides = applied_by(paced(1.0), two())
    with calls(net(0), net(1)) as counts:
        found = sample(stock(), *sides, steps=STEPS, **more)
    assert [count["net"] for count in counts] == [5, 5]
    rows = reported(sides, found)
    assert [(row["calls"], row["reused"]) for row in rows] == [(5, 3), (5, 3)]
    every = sample(stock(), *applied(two()), steps=STEPS, **more)
    assert not torch.equal(found, every)
    assert (found - every).norm() < 0.2 * every.norm()


def test_prompts_in_calls_of_their_own_are_kept_apart() -> None:
    """Lengths with no common multiple that core would repeat to: each has its own calls."""
    apart = prompt(0), prompt(1, 10)
    sides = applied_by(paced(1.0), two(), apart)
    with calls(net(0)) as [count]:
        found = sample(stock(), *sides, steps=STEPS)
    assert count["net"] == 2 * 5
    assert [(row["calls"], row["reused"]) for row in reported(sides, found)] == [(10, 6)] * 2
    every = sample(stock(), *applied(two(), apart), steps=STEPS)
    assert (found - every).norm() < 0.2 * every.norm()


def test_nothing_is_said_again_after_its_end() -> None:

    hints = [asked(net(0), 0), asked(net(1), 1, end=0.4)]
    sides = applied_by(paced(1.0), hints)
    found = sample(stock(), *sides, steps=STEPS)
    first, second = reported(sides, found)
    assert first["calls"] + first["reused"] == STEPS
    plain = applied(hints)
    whole = reported(plain, sample(stock(), *plain, steps=STEPS))[1]
    assert second["reused"] > 0
    assert second["calls"] + second["reused"] == whole["calls"] < STEPS


def test_who_falls_silent_is_not_called_any_more() -> None:
    hints = [asked(net(0), 0), asked(net(1), 1, strength=0.01)]
    sides = applied_by(paced(0.0, least=0.05, least_push=1e-6), hints)
    with calls(net(1)) as [count]:
        loud, faint = reported(sides, sample(stock(), *sides, steps=STEPS))
    assert (loud["calls"], loud["ended"]) == (STEPS, False)
    assert count["net"] == faint["calls"] == 2 and faint["ended"]
    alone = applied_by(paced(0.0, least=0.05), [asked(net(1), 1, strength=0.01)])
    [row] = reported(alone, sample(stock(), *alone, steps=STEPS))
    assert (row["calls"], row["ended"]) == (STEPS, False)  # the strongest there is


def test_two_calls_of_one_step_end_nobody() -> None:
    """Prompts in calls of their own: two steps have to be faint, not two calls."""
    apart = prompt(0), prompt(1, 10)
    hints = [asked(net(0), 0), asked(net(1), 1, strength=0.01)]
    sides = applied_by(paced(0.0, least=0.05, least_push=1e-6), hints, apart)
    with calls(net(1)) as [count]:
        loud, faint = reported(sides, sample(stock(), *sides, steps=STEPS))
    assert (loud["calls"], loud["ended"]) == (2 * STEPS, False)
    assert count["net"] == faint["calls"] == 2 * 2 and faint["ended"]


def test_who_is_heard_in_one_call_of_a_step_is_not_silent() -> None:
    from comfyui_tandem.engine.scaling.pace import Heard

    step = Heard(sigma=3.0, before=1)
    assert step.faint_steps == 2
    step.is_faint &= False
    assert step.faint_steps == 0


def test_every_run_begins_anew_and_others_are_left_alone() -> None:
    import torch

    sides = applied_by(paced(1.0), two())
    first, second = (sample(stock(), *sides, steps=STEPS) for _ in range(2))
    assert torch.equal(first, second)
    assert reported(sides, second)[0]["calls"] == 5
    mixed = [asked(net(0), 0), asked(adapter(), 1, strength=5.0), asked(foreign_net(2), 2)]
    sides = applied_by(paced(1.0), mixed[:2], both())
    rows = reported(sides, sample(stock(), *sides, steps=STEPS))
    assert [row["reused"] for row in rows] == [3, 0]
    sides = applied_by(paced(1.0), mixed)
    rows = reported(sides, sample(stock(), *sides, steps=STEPS))
    assert [row["reused"] for row in rows] == [0, 0, 0]


def test_the_node_offers_it() -> None:
    from comfyui_tandem.engine.errors import BadInput
    from comfyui_tandem.engine.scaling.apply import ledgers_of
    from comfyui_tandem.engine.scaling.settings import Pace

    [ledger] = ledgers_of(applied(two(), reuse=True)[0])
    assert ledger.settings.pace == Pace() and not ledger.settings.levels
    [ledger] = ledgers_of(applied(two())[0])
    assert ledger.settings.pace is None
    with pytest.raises(BadInput, match="turn on estimate"):
        applied(two(), estimate=False, reuse=True)
