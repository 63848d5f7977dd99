"""On which of a run's steps each condition acts: what a person cannot see in the graph.

A net is asked on a step only if a prompt that carries it is computed there, and its own start and
end allow it. Core decides both by the step's noise, ends included.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..conditions import Hint
from ..control import Applied
from ..control.chain import Conditioning

Steps = frozenset[int]  # counted from 1
NOT_COMPUTED = "cfg 1 leaves out the negative prompt"


@dataclass(frozen=True, slots=True)
class Acting:
    """On which steps, counted from 1, a condition acts."""

    cond: str
    steps: tuple[int, ...]
    reason: str | None = None  # why it was left out


@dataclass(frozen=True, slots=True)
class Reach:
    """Which steps a share of the noise covers.

    sigmas: [steps + 1] of the run.
    schedule: the model's sampling, which knows the noise at each share.
    negative: whether the negative prompt is computed.
    """

    sigmas: Tensor
    schedule: Any
    negative: bool

    def steps(self, start: float, end: float) -> Steps:
        high, low = map(self.schedule.percent_to_sigma, (start, end))
        sigmas = enumerate(self.sigmas[:-1], 1)
        return frozenset(step for step, sigma in sigmas if not (sigma > high or sigma < low))

    def of_prompt(self, options: Mapping[str, Any]) -> Steps:
        """Those on which core computes an entry of a conditioning."""
        start, end = options.get("start_percent", 0.0), options.get("end_percent", 1.0)
        if "clip_start_percent" in options:  # scheduled weights of the text encoder
            start = max(start, options["clip_start_percent"])
            end = min(end, options["clip_end_percent"])
        return self.steps(start, end)

    def of_net(self, net: Any) -> Steps:
        return Steps() if net.strength == 0 else self.steps(*net.timestep_percent_range)


def acting(
    positive: Conditioning,
    negative: Conditioning | None,
    hints: Sequence[Hint],
    told: Iterable[Applied],
    reach: Reach,
) -> tuple[Acting, ...]:
    """The nets that the prompts bring, then the hints, which are on every entry of both sides.

    Args:
        negative: None if there is none; with a cfg of 1 (`reach`) it is not computed.
        told: what `apply_hints` said of each hint.
    """
    sides = [_Side("on the prompt", positive, computed=True)]
    if negative is not None:
        sides.append(_Side("on the negative prompt", negative, computed=reach.negative))
    rows: list[Acting] = []
    known: set[int] = set()
    for side in sides:
        new = [net for net in side.nets() if id(net) not in known]
        known.update(map(id, new))
        for number, net in enumerate(new, 1):
            on = frozenset[int]().union(*(one.steps(reach, net) for one in sides))
            reason = None if side.computed else NOT_COMPUTED
            rows.append(
                Acting(f"{side.name} {number}", tuple(sorted(on & reach.of_net(net))), reason)
            )
    prompts = frozenset[int]().union(*(side.steps(reach) for side in sides))
    for one, hint in zip(told, hints, strict=True):
        request = hint.condition.request
        on = reach.steps(request.start, request.end) & prompts if one.applied else ()
        rows.append(Acting(one.cond, tuple(sorted(on)), one.reason))
    return tuple(rows)


@dataclass(frozen=True, slots=True)
class _Side:
    name: str
    entries: Conditioning
    computed: bool

    def steps(self, reach: Reach, net: Any = None) -> Steps:
        """On which any of its entries is computed; with a net, of those that carry it."""
        if not self.computed:
            return Steps()
        carry = [o for _, o in self.entries if net is None or net in _chain(o)]
        return Steps().union(*(reach.of_prompt(options) for options in carry))

    def nets(self) -> Iterable[Any]:
        """Each once, first net first."""
        return {id(net): net for _, options in self.entries for net in _chain(options)}.values()


def _chain(options: Mapping[str, Any]) -> list[Any]:
    """All nets of an entry, those that a foreign one asks itself too; first net first."""
    found: list[Any] = []
    net = options.get("control")
    while net is not None:
        found.append(net)
        net = net.previous_controlnet
    return found[::-1]
