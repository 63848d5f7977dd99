"""What a detector is: name, parameters, hint convention, needs, price, and what runs it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..errors import BadInput
from .view import Levels, Pixels, View
from .weights import WeightFile

Formula = Callable[[Pixels, Mapping[str, float]], Pixels]
Filter = Callable[[View, Mapping[str, float]], Levels]
Loader = Callable[[Mapping[str, Path]], Filter]

NO_WEIGHTS = "no weights"
LIGHT_S, MEDIUM_S = 0.1, 1.0  # per million pixels: bounds of the cost classes


@dataclass(frozen=True, slots=True)
class Param:
    """A number that a detector takes."""

    name: str
    default: float
    least: float
    most: float
    about: str
    whole: bool = False

    @property
    def is_switch(self) -> bool:
        """Only 0 (off) and 1 (on) are allowed."""
        return self.whole and (self.least, self.most) == (0, 1)

    def check(self, value: object) -> float:
        """The value, if it is a number in range.

        Raises:
            BadInput: no number, not finite, out of range, or a fraction where a whole one is due.
        """
        do = f"choose a {'whole ' if self.whole else ''}number from {self.least} to {self.most}"
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise BadInput(self.name, value, do)
        if not (math.isfinite(value) and self.least <= value <= self.most):
            raise BadInput(self.name, value, do)
        if self.whole and value != int(value):
            raise BadInput(self.name, value, do)
        return value

    def schema(self) -> dict[str, Any]:
        """JSON schema, as the worker's capabilities show it."""
        kind = "integer" if self.whole else "number"
        return {
            "type": kind,
            "default": self.default,
            "minimum": self.least,
            "maximum": self.most,
            "description": self.about,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Detector:
    """One entry of the registry.

    Has one of `run`, a formula, or `load`, a network. `run` gets the photo at the hint's size,
    [h, w, 3] uint8 RGB, and all parameters. `load` gets the paths of its files by their names and
    returns what is then kept and called with each photo as it was given. Both ways the picture is
    [h, w] where `channels` is 1, else [h, w, 3]; uint8, or uint16 where `bits` is 16.

    `seconds_per_mpixel` and `bytes_per_pixel` are what a plan assumes until it has measured: one
    thread of a common CPU at 512 x 512, and the hint as lossless PNG. `memory_mb` is measured as
    growth of the resident memory; by it loaded networks are kept within their limit.
    """

    name: str
    title: str
    about: str
    params: tuple[Param, ...]
    channels: Literal[1, 3]
    polarity: str  # what bright or coloured means
    fits: tuple[str, ...]  # published ControlNets
    seconds_per_mpixel: float
    bytes_per_pixel: float
    run: Formula | None = None
    load: Loader | None = None
    family: str = "other"
    files: tuple[WeightFile, ...] = ()
    packages: tuple[str, ...] = ("cv2",)  # import names
    licence: str = NO_WEIGHTS  # of the weights, as their publishers state it
    commercial: bool = True  # False: research or non-commercial use only
    looks_for: Literal["", "person", "face"] = ""  # a black hint means that none was found
    memory_mb: float = 0.0  # that its loaded network holds after photos of 512 x 512
    reads: str = ""  # polarity of the hints that it takes for photos; empty: it wants a photo
    fixed: tuple[tuple[str, float], ...] = ()  # settings by which entries share one network
    bits: Literal[8, 16] = 8  # of a level; 16 with one channel alone

    @property
    def is_network(self) -> bool:
        """It has weights to load; `load` alone may only want the photo as it was given."""
        return self.load is not None and self.licence != NO_WEIGHTS

    @property
    def values(self) -> str:
        """Value range of the hint's pictures, before ComfyUI's 0..1."""
        if self.bits == 16:
            return "uint16 0..65535, 1 channel"
        return "uint8 0..255, 1 channel" if self.channels == 1 else "uint8 0..255, RGB"

    @property
    def cost(self) -> Literal["light", "medium", "heavy"]:
        if self.seconds_per_mpixel < LIGHT_S:
            return "light"
        return "medium" if self.seconds_per_mpixel < MEDIUM_S else "heavy"

    def settings(self, given: Mapping[str, object]) -> dict[str, float]:
        """All parameters: the given ones checked, the missing ones at their default.

        Raises:
            BadInput: an unknown parameter or a value out of range.
        """
        known = {param.name: param for param in self.params}
        for name in given:
            if name not in known:
                do = f"{self.name} takes {', '.join(known) or 'no parameters'}"
                raise BadInput("parameter", name, do)
        return {name: param.check(given.get(name, param.default)) for name, param in known.items()}
