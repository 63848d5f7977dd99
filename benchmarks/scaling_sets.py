"""Part of `scaling`: sets of conditions on held-out scenes, as people get them wrong and right.

Every set has a scene of its own with a figure, so that each kind of hint has something to say.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..training.captions import Caption, caption
from ..training.hints import hints
from ..training.judge import Reading
from ..training.render import Truth, render
from ..training.scenes import sample_scenes
from ..training.words import FIGURE

FAMILIES = ("complementary", "redundant", "conflicting", "empty", "noisy", "wrong")
CLEAN = FAMILIES[:3]
KINDS = ("canny", "depth", "seg", "pose")
EDGES = ("canny", "line", "soft")  # one net learnt all three
SPECKS, GREY = 0.15, 0.5  # share of noise in edges, weight of noise in others
PROMPT = "prompt"  # kind of score beside those of hints
ESTIMATED = "estimated"
ARMS: dict[str, Callable[[int], list[float]]] = {  # strengths by the number of conditions
    "ones": lambda n: [1.0] * n,
    "shared": lambda n: [1.0 / n] * n,
    "first": lambda n: [1.0, *[0.5] * (n - 1)],
}
Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Asked:
    """One condition of a set: a hint of `kind`, and whether it tells of the set's own scene."""

    kind: str
    good: bool
    hint: Picture

    @property
    def net(self) -> str:
        return "edge" if self.kind in EDGES else self.kind


@dataclass(frozen=True, slots=True)
class Set:
    """A scene, what is said of it, and the conditions that are to steer its picture."""

    number: int
    family: str
    told: Caption
    asked: tuple[Asked, ...]

    @property
    def judged(self) -> tuple[str, ...]:
        """Kinds of score that apply: those that a good condition asks for."""
        return tuple(dict.fromkeys(one.net for one in self.asked if one.good))


@dataclass(frozen=True, slots=True)
class Block:
    """Some of all sets, with what is true of their scenes, row by row."""

    sets: tuple[Set, ...]
    truth: Truth

    def only(self, *rows: int) -> Block:
        """Those of these rows."""
        some = {item.name: getattr(self.truth, item.name)[[*rows]] for item in fields(self.truth)}
        return Block(tuple(self.sets[row] for row in rows), Truth(**some))


def block_of_sets(count: int, seed: int, block: slice) -> Block:
    """Sets `block` of the first `count` scenes with a figure; families take turns.

    The other scene of a set is the one before it in the block, so where blocks start at a multiple
    of the families, whose first needs no other, every block has the same sets.
    """
    scenes = sample_scenes(8 * count, seed)
    rows = ((scenes.shape == FIGURE) & scenes.present).any(1).nonzero()[:, 0][:count]
    told = [caption(scenes, row, seed) for row in rows[block].tolist()]
    truth = render(scenes[rows[block]])
    drawn = {kind: _drawn(truth, kind) for kind in (*KINDS, *EDGES[1:])}
    sets: list[Set] = []
    for at, number in enumerate(range(count)[block]):
        family, turn = FAMILIES[number % len(FAMILIES)], number // len(FAMILIES)
        chance = np.random.default_rng((seed, number))
        hint = {kind: pictures[at] for kind, pictures in drawn.items()}
        other = {kind: pictures[at - 1] for kind, pictures in drawn.items()}
        asked = MAKERS[family](turn, hint, other, chance)
        order = chance.permutation(len(asked)).tolist()  # a bad one may stand anywhere
        sets.append(Set(number, family, told[at], tuple(asked[at] for at in order)))
    return Block(tuple(sets), truth)


Hints = dict[str, Picture]
Maker = Callable[[int, Hints, Hints, np.random.Generator], tuple[Asked, ...]]


def _complementary(turn: int, hint: Hints, *_: object) -> tuple[Asked, ...]:
    """Three of four kinds."""
    left_out = KINDS[turn % len(KINDS)]
    return tuple(Asked(kind, True, hint[kind]) for kind in KINDS if kind != left_out)


def _redundant(turn: int, hint: Hints, *_: object) -> tuple[Asked, ...]:
    """The three pairs of edges, then all three."""
    left_out = turn % (len(EDGES) + 1)
    return tuple(Asked(k, True, hint[k]) for at, k in enumerate(EDGES) if at != left_out)


def _third(kind: str, hint: Hints, picture: Picture) -> tuple[Asked, ...]:
    """Two good conditions of other kinds, and one that is not."""
    good = [other for other in KINDS if other != kind][:2]
    return (*(Asked(k, True, hint[k]) for k in good), Asked(kind, False, picture))


def _conflicting(turn: int, hint: Hints, other: Hints, *_: object) -> tuple[Asked, ...]:
    """The same kind of two scenes, and one more of the right one."""
    kind, more = KINDS[turn % len(KINDS)], KINDS[(turn + 1) % len(KINDS)]
    return (
        Asked(kind, True, hint[kind]),
        Asked(more, True, hint[more]),
        Asked(kind, False, other[kind]),
    )


def _empty(turn: int, hint: Hints, *_: object) -> tuple[Asked, ...]:
    kind = KINDS[turn % len(KINDS)]
    return _third(kind, hint, np.zeros_like(hint[kind]))


def _noisy(turn: int, hint: Hints, other: Hints, chance: np.random.Generator) -> tuple[Asked, ...]:
    """White specks among edges; other kinds mixed with grey noise."""
    kind = KINDS[turn % len(KINDS)]
    noise = chance.random(hint[kind].shape[:2])[..., None]
    if kind == "canny":
        spoilt = np.where(noise < SPECKS, 255, hint[kind])
    else:
        spoilt = (1 - GREY) * hint[kind] + GREY * 255 * noise
    return _third(kind, hint, spoilt.round().astype(np.uint8))


def _wrong(turn: int, hint: Hints, other: Hints, *_: object) -> tuple[Asked, ...]:
    kind = KINDS[turn % len(KINDS)]
    return _third(kind, hint, other[kind])


MAKERS: dict[str, Maker] = dict(
    zip(
        FAMILIES,
        (_complementary, _redundant, _conflicting, _empty, _noisy, _wrong),
        strict=True,
    )
)


def _drawn(truth: Truth, kind: str) -> Picture:
    """[N, H, W, 3]: hints as the nets learnt them."""
    stored: dict[str, Tensor] = {
        "picture": (truth.picture * 255).round().byte(),
        "depth": (truth.depth * 255).round().byte(),
        "segment": truth.segment,
        "surface": truth.surface,
        "keypoints": truth.keypoints,
    }
    rows = torch.arange(len(truth.picture))
    net = "edge" if kind in EDGES else kind
    pictures = hints(net, stored, rows, [kind] * len(rows))
    return (pictures * 255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()


def row_of(reading: Reading, row: int) -> Reading:
    names = Reading.__slots__
    return Reading(**{name: getattr(reading, name)[row : row + 1] for name in names})
