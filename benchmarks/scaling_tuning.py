"""`python -m comfyui_tandem.benchmarks.scaling_tuning`: the rule's numbers, on scenes not reported.

Every set of conditions is looked at once, for two steps; then any rule can be asked what it would
do. No picture is drawn: which conditions are not of the scene, and which repeat another, is known
of the sets. What scales do to pictures is for `scaling` to tell.

The defaults stop short of the best here: these nets agree more than other models' may, and a rule
that asks them for more agreement (`enough`, `alone`, `agreed`) lowers good conditions too.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from .scaling_draw import Studio  # isort: skip

from ..engine.errors import BadInput
from ..engine.scaling.pushed import Pushed
from ..engine.scaling.rule import Rule, decide
from ..engine.scaling.settings import Settings
from ..engine.scaling.trial import Seen
from ..training.files import SHIPPED
from .scaling_sets import Set, block_of_sets

SEED, SETS = 3_000_027, 240
TRIED: Mapping[str, Sequence[float]] = {
    "most_cover": (0.4, 0.5, 0.6, 0.7),
    "least_push": (0.05, 0.1, 0.15),
    "opposed": (-0.4, -0.3, -0.2, -0.1),
    "together": (0.2, 0.3, 0.5),
    "agree": (0.1, 0.15, 0.2),
    "enough": (0.2, 0.25, 0.35, 0.5),
    "alone": (0.45, 0.55, 0.65, 0.75),
    "agreed": (0.7, 0.8, 0.85, 0.95),
    "lowest": (0.25, 0.5),
}


@dataclass(frozen=True, slots=True)
class Looked:
    """A set, and what its second step showed; nothing where all but one were left out before."""

    one: Set
    pushed: Pushed | None


@dataclass(frozen=True, slots=True)
class Worth:
    """Of one rule, 0..1: shares of their strengths that conditions keep, in the mean of sets.

    good: those of the scene, where none repeats another.
    bad: those that are not of it, empty ones aside: these go before anything is measured.
    pruned: good ones that are left out there.
    redundant: those of repeated ones, but one each set, that are left out.
    """

    good: float
    bad: float
    pruned: float
    redundant: float

    @property
    def total(self) -> float:
        return self.good - self.bad - self.pruned + self.redundant

    def __str__(self) -> str:
        return (
            f"{self.total:.3f}: good keep {self.good:.3f}, {100 * self.pruned:.1f} % left out; "
            f"bad keep {self.bad:.3f}; repeated left out {self.redundant:.3f}"
        )


def look(studio: Studio, count: int, seed: int) -> list[Looked]:
    """Each set's conditions on the step that decides."""
    found: list[Looked] = []
    for one in block_of_sets(count, seed, slice(None)).sets:
        seen = Seen()
        studio.estimate(one, one.number, Settings(learned=seen))
        found.append(Looked(one, seen.pushed))
    return found


def worth(looked: Sequence[Looked], rule: Rule) -> Worth:
    good: list[float] = []
    bad: list[float] = []
    pruned: list[float] = []
    redundant: list[float] = []
    for each in looked:
        if each.pushed is None:
            continue
        places = [int(cond.split(":")[0]) for cond in each.pushed.conds]
        scales = decide(each.pushed, rule)
        if each.one.family == "redundant":
            redundant.append(sum(scale.pruned for scale in scales) / (len(scales) - 1))
            continue
        kept = [(scale.scale - scale.carried) / scale.strength for scale in scales]
        own = [share for share, at in zip(kept, places, strict=True) if each.one.asked[at].good]
        bad += [
            share for share, at in zip(kept, places, strict=True) if not each.one.asked[at].good
        ]
        good.append(float(np.mean(own)))
        pruned.append(float(np.mean(np.equal(own, 0))))
    return Worth(*(float(np.mean(each)) for each in (good, bad, pruned, redundant)))


def variants(rule: Rule, name: str) -> list[Rule]:
    """The rule with other values of one number, as far as they go together."""
    found: list[Rule] = []
    for value in TRIED[name]:
        try:
            found.append(replace(rule, **{name: value}))
        except BadInput:  # as little agreement would be no doubt as is all of it
            continue
    return found


def tuned(looked: Sequence[Looked], rule: Rule) -> Rule:
    """One number after the other, until no other value of any is worth more."""
    while True:
        before = rule
        for name in TRIED:
            rule = max((rule, *variants(rule, name)), key=lambda one: worth(looked, one).total)
        if rule == before:
            return rule


def main() -> int:
    torch.set_num_threads(1)
    looked = look(Studio(SHIPPED), SETS, SEED)
    rule = Rule()
    lines = [f"as it is  {worth(looked, rule)}"]
    for name in TRIED:
        for one in variants(rule, name):
            lines.append(f"{name:<10} {getattr(one, name):5.2f}  {worth(looked, one)}")
    best = tuned(looked, rule)
    lines += [f"tuned     {worth(looked, best)}", str(best)]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
