"""What a caption says of a scene: words, and the same as a form that judges can read."""

from __future__ import annotations

import random
from dataclasses import dataclass

from .scenes import Scenes
from .words import (
    COLOURS,
    FIGURE,
    OPENINGS,
    OTHER_NAMES,
    OTHER_SIZES,
    PLACE_PHRASES,
    POSES,
    SCENE_PHRASES,
    SHAPES,
    SIZES,
)


@dataclass(frozen=True, slots=True)
class Thing:
    """One named thing; None: the caption does not say. `stands` is where it is in the scene."""

    shape: int
    colour: int
    size: int | None
    place: int | None
    pose: int | None
    stands: int


@dataclass(frozen=True, slots=True)
class Caption:
    words: tuple[str, ...]
    scene: int | None
    things: tuple[Thing, ...]

    def __str__(self) -> str:
        return " ".join(self.words).replace(" ,", ",")


def caption(scenes: Scenes, row: int, seed: int, full: bool = False) -> Caption:
    """One way to tell scene `row`; `full` leaves nothing out. The same seed tells the same."""
    chance = random.Random(f"{seed} {row}")
    places = [place for place in range(3) if scenes.present[row, place]]
    chance.shuffle(places)
    words = [*chance.choice(OPENINGS).split()] if chance.random() < 0.3 else []
    things: list[Thing] = []
    for place in places:
        sure = full or len(places) > 1
        thing = _thing(scenes, row, place, chance, full, sure or chance.random() < 0.6)
        if things:
            words += ["and"] if len(things) == len(places) - 1 else [","]
        words += _phrase(thing, chance)
        things.append(thing)
    scene = int(scenes.scene[row]) if full or chance.random() < 0.9 else None
    if scene is not None:
        words += [","] if chance.random() < 0.5 else []
        words += SCENE_PHRASES[scene].split()
    return Caption(tuple(words), scene, tuple(things))


def _thing(
    scenes: Scenes, row: int, place: int, chance: random.Random, full: bool, placed: bool
) -> Thing:
    shape = int(scenes.shape[row, place])
    posed = shape == FIGURE and (full or chance.random() < 0.7)
    sized = full or chance.random() < 0.6
    return Thing(
        shape=shape,
        colour=int(scenes.colour[row, place]),
        size=int(scenes.size[row, place]) if sized else None,
        place=place if placed else None,
        pose=int(scenes.pose[row, place]) if posed else None,
        stands=place,
    )


def _phrase(thing: Thing, chance: random.Random) -> list[str]:
    name = SHAPES[thing.shape]
    words = ["a"]
    if thing.size is not None:
        words.append((SIZES if chance.random() < 0.8 else OTHER_SIZES)[thing.size])
    words.append(COLOURS[thing.colour])
    words.append(OTHER_NAMES[name] if name in OTHER_NAMES and chance.random() < 0.15 else name)
    if thing.pose is not None:
        words.append(POSES[thing.pose])
    if thing.place is not None:
        words += PLACE_PHRASES[thing.place].split()
    return words
