"""Files of weights: what they are called, where they are published, where they are found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..commands import command
from ..errors import Unavailable


@dataclass(frozen=True, slots=True)
class WeightFile:
    """One published file.

    Attributes:
        name: its name in a model folder; keeps two files of the same hub name apart.
        repo: the hub repository, empty where it is published elsewhere.
        path: its path in that repository; the name, unless given.
        published: where, for a person, if it is in no hub repository.
        licence: as its publisher states it.
        sha256, bytes: empty and 0 unless a named source gives them.
    """

    name: str
    licence: str
    repo: str = ""
    path: str = ""
    published: str = ""
    sha256: str = ""
    bytes: int = 0

    @property
    def path_in_repo(self) -> str:
        return self.path or self.name

    @property
    def source(self) -> str:
        """Where it is published, in words."""
        return f"{self.path_in_repo} in {self.repo} on the hub" if self.repo else self.published

    def places(self, folder: Path) -> tuple[Path, ...]:
        """Where it may lie in a model folder: flat, or in its repository's own folder."""
        if not self.repo:
            return (folder / self.name,)
        return (folder / self.name, folder / self.repo / self.path_in_repo)


def find_weights(file: WeightFile, folders: Sequence[Path]) -> Path | None:
    """The file in the first folder that has it."""
    places = (place for folder in folders for place in file.places(folder))
    return next((place for place in places if place.is_file()), None)


def missing_weights(detector: str, file: WeightFile, folders: Sequence[Path]) -> Unavailable:
    """Which file is missing, where it was looked for, where it is published."""
    looked = ", ".join(str(folder) for folder in folders) or "no model folder is set"
    get = command(f"models download {detector}") if file.repo else "put it there"
    do = f"looked in {looked}; published as {file.source}: {get}"
    return Unavailable(f"weights file for {detector}", file.name, do)
