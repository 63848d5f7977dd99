"""What became of each condition, as plain data."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import BadInput


@dataclass(frozen=True, slots=True)
class Scale:
    """Of one condition.

    cond: "index:detector", as all of Tandem's nodes name it.
    strength: what the user asked for; `scale`, what is used, is never above it.
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

    def __post_init__(self) -> None:
        if not 0 <= self.scale <= self.strength:  # NaN fails too
            seen = (self.cond, self.scale, self.strength)
            raise BadInput("(condition, scale, strength)", seen, "need 0 <= scale <= strength")

    @property
    def pruned(self) -> bool:
        return self.scale == 0

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
        why = f", {self.reason}" if self.reason else ""
        return f"{self.cond}: scale {self.scale:.2f}{bound}{why}"


@dataclass(frozen=True, slots=True)
class Scales:
    """TANDEM_SCALES: a scale for every condition of a chain, in its order."""

    rows: tuple[Scale, ...]
