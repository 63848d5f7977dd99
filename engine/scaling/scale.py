"""What became of each condition, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..errors import BadInput

ROUNDING = 1e-9  # relative


@dataclass(frozen=True, slots=True)
class Scale:
    """Of one condition.

    cond: "index:detector", as all of Tandem's nodes name it.
    strength: what the user asked for.
    scale: what is used; without what is carried for others never above the strength.
    carried: part of the scale that stands for conditions that were left out.
    coarse: the scale at the UNet's coarse resolutions; None: the same there.
    push: size of its residuals as a share of the UNet's features; None: not measured.
    cover: share of that push, 0..1, which stronger conditions supply too.
    agreement: how much it agrees with the others, as a share of the one that does most; None
        with fewer than three conditions.
    reason: why it was lowered or pruned.
    """

    cond: str
    strength: float
    scale: float
    push: float | None = None
    cover: float | None = None
    agreement: float | None = None
    reason: str | None = None
    carried: float = 0.0
    coarse: float | None = None

    def __post_init__(self) -> None:
        most = (self.strength + self.carried) * (1 + ROUNDING)
        if not 0 <= self.carried <= self.scale <= most:  # NaN fails too
            seen = (self.cond, self.scale, self.strength, self.carried)
            do = "need 0 <= carried <= scale <= strength + carried"
            raise BadInput("(condition, scale, strength, carried)", seen, do)
        if self.coarse is not None and not self.coarse >= 0:
            raise BadInput("scale at coarse blocks", self.coarse, "need 0 or more")

    @property
    def pruned(self) -> bool:
        return self.scale == 0

    @property
    def bound(self) -> float:
        """What the scale would be, had it not been lowered."""
        own = self.scale - self.carried
        return self.scale * self.strength / own if own else self.strength

    def told_of(self, strength: float) -> Scale:
        """The same where the user asked for less, and the rest was carried before."""
        if strength == self.strength:
            return self
        own = strength * (self.scale - self.carried) / self.strength
        return replace(self, strength=strength, carried=max(self.scale - own, 0.0))

    @property
    def contribution(self) -> float | None:
        """Push times what stronger conditions do not cover of it."""
        if self.push is None or self.cover is None:
            return None
        return self.push * (1 - self.cover) ** 0.5

    def __str__(self) -> str:
        if self.pruned:
            return f"{self.cond}: left out, {self.reason}"
        bound = f" of {self.strength:.2f}" if self.scale < self.strength else ""
        more = f", {self.carried:.2f} of it for what it covers" if self.carried else ""
        if self.coarse is not None:
            more += f", {self.coarse:.2f} at coarse blocks"
        why = f", {self.reason}" if self.reason else ""
        return f"{self.cond}: scale {self.scale:.2f}{bound}{more}{why}"


@dataclass(frozen=True, slots=True)
class Scales:
    """TANDEM_SCALES: a scale for every condition of a chain, in its order."""

    rows: tuple[Scale, ...]
