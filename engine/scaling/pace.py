"""Conditions that say the same from step to step are asked less often; silent ones no more.

A call of a ControlNet costs a third of one of the UNet. What it says changes with the noise: much
at first, little between the late steps of a long run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from comfy.controlnet import T2IAdapter
from torch import Tensor

from ..control.link import Link
from ..control.positions import Control
from ..control.summing import PARTS
from ..control.unroll import Found
from .asked import asked_of, is_asked
from .settings import Pace

Place = tuple[Link, tuple[Any, ...]]  # a net in the chunks of a batch: each has its own conds
STEPS_TO_END = 2


@dataclass(slots=True)
class Said:
    """What a net said on its last call, and whether that will do for the next step."""

    control: Control
    will_do: bool


@dataclass(slots=True)
class Heard:
    """How a net was heard on the step at `sigma`, and on how many before it in a row faintly.

    Prompts may be in calls of their own: it is faint where it is in all of them.
    """

    sigma: float
    before: int
    is_faint: bool = True

    @property
    def faint_steps(self) -> int:
        return self.before + 1 if self.is_faint else 0


class Paced:
    """State of one run (`engine.control.unroll.Pace`).

    Only nets whose conditioning has a pace are held back. A T2I-Adapter is computed once a run
    anyway.
    """

    def __init__(self) -> None:
        self.said: dict[Place, Said] = {}
        self.fresh: set[Link] = set()
        self.last: dict[Link, Heard] = {}
        self.sigmas = torch.zeros(1)  # of the call that is under way

    def ask(
        self, link: Link, call: Callable[[], Control | None], t: Tensor, options: Any
    ) -> Control | None:
        pace = _pace_of(link)
        if pace is None:
            return call()
        if self._is_over(link, t):
            link.ended = True
            return None
        self.sigmas = t
        place = (link, (*options["uuids"], len(t)))
        before = self.said.get(place)
        if before is not None and before.will_do and _is_in_range(link, t):
            before.will_do = False
            link.reused += 1
            return before.control
        control = call()
        if control is None:
            self.said.pop(place, None)
            return None
        self.fresh.add(link)
        same = before is not None and _change(before.control, control) < pace.unchanged
        self.said[place] = Said(control, same)
        return control

    def heard(self, found: Found) -> None:
        fresh = [link for link, _ in found if link in self.fresh]
        self.fresh.clear()
        if not fresh:
            return
        sizes = _sizes(found)
        sigma = float(self.sigmas[0])
        for link, size in zip([link for link, _ in found], sizes, strict=True):
            pace = _pace_of(link)
            if pace is None or link not in fresh:
                continue
            last = self.last.get(link)
            if last is None or last.sigma != sigma:
                last = Heard(sigma, last.faint_steps if last else 0)
                self.last[link] = last
            last.is_faint &= size < pace.least

    def _is_over(self, link: Link, t: Tensor) -> bool:
        """Whether enough steps were faint; the last one has to be over, all its calls heard."""
        last = self.last.get(link)
        if last is None or last.faint_steps < STEPS_TO_END:
            return False
        return float(t[0]) != last.sigma


def _pace_of(link: Link) -> Pace | None:
    if not is_asked(link) or isinstance(link.net, T2IAdapter):
        return None
    return asked_of(link).ledger.settings.pace


def _is_in_range(link: Link, t: Tensor) -> bool:
    """Whether the net acts at these sigmas, as core decides it."""
    starts, ends = link.net.timestep_range
    return bool(ends <= t[0] <= starts)


def _change(before: Control, now: Control) -> float:
    """Length of the difference as a share of what is said now, output by output, in the mean."""
    shares = [
        (b - a).float().norm() / b.float().norm().clamp(min=1e-12)
        for a, b in zip(_tensors(before), _tensors(now), strict=True)
    ]
    return float(torch.stack(shares).mean()) if shares else 0.0


def _sizes(found: Found) -> list[float]:
    """Of each net: length of what it adds as a share of the strongest, output by output."""
    energy: dict[tuple[str, int], list[tuple[int, Tensor]]] = {}
    for row, (link, control) in enumerate(found):
        for part in PARTS:
            for at, value in enumerate(control.get(part, ())):
                if value is not None:
                    own = value.float().square().mean() * link.factor.fine**2
                    energy.setdefault((part, at), []).append((row, own))
    shares: list[list[Tensor]] = [[] for _ in found]
    for rows in energy.values():
        most = torch.stack([own for _, own in rows]).max().clamp(min=1e-24)
        for row, own in rows:
            shares[row].append(own / most)
    means = [torch.stack(own).mean().sqrt() if own else torch.zeros(()) for own in shares]
    return torch.stack([mean.cpu() for mean in means]).tolist()


def _tensors(control: Control) -> Iterator[Tensor]:
    return (v for part in PARTS for v in control.get(part, ()) if v is not None)
