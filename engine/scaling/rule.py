"""Which conditions stay, and how strong: pure, the same for the same numbers in any order.

After the abstract of arXiv 2605.08836 (activation strength, and overlap with other conditions).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import BadInput
from .cover import best_mix, cover
from .pushed import Pushed, sizes_of
from .scale import Scale

Lower = Callable[[Pushed, Sequence[int]], list[float]]
NOTHING = 1e-12
FEWEST_JUDGES = 2  # of two alone that disagree nobody can say which one is wrong


@dataclass(frozen=True, slots=True)
class Rule:
    """What is too much. Chosen on the demo family, not on scenes reported, and more lenient than
    what is best there (`benchmarks/scaling_tuning.py`).

    most_cover: share of a push that stronger ones may supply; above, it is pruned.
    least_push: size of a contribution, as a share of the strongest push of those that act as long;
        below, it is pruned.
    opposed: cosine from which two that push at the same places are in conflict.
    together: overlap of places from which they are the same.
    agree: cosine from which two agree; where no two do, nobody is in doubt.
    enough: cosine that is all the agreement that can be asked for; without such a cap two that
        say nearly the same would make all others look alone.
    apart: overlap of places up to which two say nothing of each other, so that one with places of
        its own is not doubted.
    alone, agreed: agreement, as a share of the best, below which a condition is in doubt, and
        from which it is not; in between in proportion.
    lowest, doubted: share of its strength that a condition keeps at least in conflict, in doubt.
    carried: share of what they cover that those who stay push on behalf of who was left out, so
        that the sum is pushed on as far as it was; 0: every scale stays below its own strength.
    """

    most_cover: float = 0.5
    least_push: float = 0.1
    opposed: float = -0.3
    together: float = 0.3
    agree: float = 0.15
    enough: float = 0.35
    apart: float = 0.1
    alone: float = 0.65
    agreed: float = 0.85
    lowest: float = 0.5
    doubted: float = 0.25
    carried: float = 1.0

    def __post_init__(self) -> None:
        shares = (self.most_cover, self.least_push, self.together, self.agree, self.enough)
        shares += (self.apart, self.lowest, self.doubted)
        right = all(0 < share <= 1 for share in shares) and self.alone < self.agreed
        if not (right and -1 <= self.opposed <= 0 and 0 <= self.carried <= 1):
            do = "need shares above 0, up to 1, opposed -1..0, alone < agreed and carried 0..1"
            raise BadInput("rule", self, do)


@dataclass(slots=True)
class _Found:
    """What is known of one condition so far.

    factor: share of its own strength that it keeps.
    carried: what it takes over from others, in units of strength, before it is lowered itself.
    """

    factor: float = 1.0
    carried: float = 0.0
    cover: float = 0.0
    agreement: float | None = None
    reason: str | None = None


def decide(pushed: Pushed, rule: Rule, lower: Lower | None = None) -> tuple[Scale, ...]:
    """A scale for each condition, in the order given.

    From the strongest push to the weakest: what stronger ones that stay, and act as long, supply
    already is pruned, and they push it on its behalf; the strongest stays. Of those left, two that
    push each other back are in conflict, and the one with the smaller strength is lowered; one
    that agrees with none, where the others agree, is doubted, and lowered.

    Args:
        lower: gives the share of its strength that each of those left keeps, in place of conflict
            and doubt.
    """
    found = [_Found() for _ in pushed.conds]
    kept = _prune(pushed, rule, found)
    if lower is None:
        _settle_conflicts(pushed, rule, found, kept)
        _doubt_the_lonely(pushed, rule, found, kept)
    else:
        for at, share in zip(kept, lower(pushed, kept), strict=True):
            if share < 1:
                found[at].factor, found[at].reason = share, f"learned to be {share:.2f} of it"
    sizes = pushed.sizes
    return tuple(
        Scale(
            cond,
            strength,
            strength * one.factor + one.carried * one.factor,
            push=float(sizes[at]),
            cover=one.cover,
            agreement=one.agreement,
            reason=one.reason,
            carried=one.carried * one.factor,
        )
        for at, (cond, strength, one) in enumerate(
            zip(pushed.conds, pushed.strengths, found, strict=True)
        )
    )


def _prune(pushed: Pushed, rule: Rule, found: list[_Found]) -> list[int]:
    """Those that stay, strongest first; of equals, who lasts longer, then the first by name."""
    sizes, direction = pushed.sizes, pushed.direction

    def rank(at: int) -> tuple[float, float, str]:
        starts, ends = pushed.spans[at]
        return -_rounded(sizes[at]), starts - ends, pushed.conds[at]

    order = sorted(range(len(found)), key=rank)
    kept: list[int] = []
    for at in order:
        one = found[at]
        others = [other for other in kept if _lasts(pushed.spans[other], pushed.spans[at])]
        one.cover = cover(pushed.gram, at, others)
        if kept and one.cover > rule.most_cover:
            most = max(others, key=lambda other: direction[at, other])
            one.reason = f"covered {one.cover:.2f} by {pushed.conds[most]}"
            _carry(pushed, at, others, rule.carried, found)
        elif kept and sizes[at] <= NOTHING:
            one.reason = "adds nothing"
        elif others and (share := _share_added(pushed, at, others)) <= rule.least_push:
            one.reason = f"adds {share:.2f} of the strongest"
        else:
            kept.append(at)
            continue
        one.factor = 0.0
    return kept


def _share_added(pushed: Pushed, at: int, others: list[int]) -> float:
    """What one adds to others as a share of the strongest of them: where it adds most."""
    grams = (pushed.gram,) if pushed.coarse is None else (pushed.gram, pushed.coarse)
    return max(
        float(sizes_of(gram)[at] / max(sizes_of(gram)[[at, *others]].max(), NOTHING))
        * (1 - cover(gram, at, others)) ** 0.5
        for gram in grams
    )


def _carry(pushed: Pushed, gone: int, others: list[int], share: float, found: list[_Found]) -> None:
    """Who stays takes over what it covers: in strengths, never more than the one that goes had.

    One that lasts longer would go on after the end that the user set, so it takes over nothing.
    """
    mix = share * best_mix(pushed.gram, gone, others)
    strengths = mix * np.array([pushed.strengths[other] for other in others])
    most = pushed.strengths[gone] / max(float(strengths.sum()), NOTHING)
    for other, more in zip(others, strengths.tolist(), strict=True):
        if pushed.spans[other][1] == pushed.spans[gone][1]:
            found[other].carried += more * min(1.0, most)


def _rounded(size: float) -> float:
    """Six digits: equals stay equals, however their numbers were added up."""
    return float(f"{size:.5e}")


def _lasts(other: tuple[float, float], span: tuple[float, float]) -> bool:
    return other[0] <= span[0] and other[1] >= span[1]


def _settle_conflicts(pushed: Pushed, rule: Rule, found: list[_Found], kept: list[int]) -> None:
    direction = pushed.direction
    for at, one in enumerate(kept):
        for other in kept[at + 1 :]:  # the weaker push
            cosine = direction[one, other]
            if cosine > rule.opposed or pushed.where[one, other] < rule.together:
                continue
            stronger, weaker = one, other
            if pushed.strengths[other] > pushed.strengths[one]:
                stronger, weaker = other, one
            factor = max(1 + float(cosine), rule.lowest)
            if factor < found[weaker].factor:
                found[weaker].factor = factor
                found[weaker].reason = f"pushes against {pushed.conds[stronger]} ({cosine:.2f})"


def _doubt_the_lonely(pushed: Pushed, rule: Rule, found: list[_Found], kept: list[int]) -> None:
    square = np.ix_(kept, kept)
    judges = pushed.where[square] > rule.apart
    np.fill_diagonal(judges, False)
    among = pushed.direction[square].clip(0, rule.enough) * judges  # a rival's no is no doubt
    count = judges.sum(1)
    agreement = among.sum(1) / count.clip(min=1)
    judged = np.flatnonzero(count >= FEWEST_JUDGES)
    best = agreement[judged].max(initial=0.0)
    if best <= 0 or among.max() < rule.agree:
        return
    for row in judged.tolist():
        one, share = found[kept[row]], float(agreement[row] / best)
        one.agreement = share
        trust = float(np.clip((share - rule.alone) / (rule.agreed - rule.alone), 0, 1))
        factor = rule.doubted + (1 - rule.doubted) * trust
        if factor < min(one.factor, 1.0):
            one.factor, one.reason = factor, f"agrees {share:.2f} as much as the best"
