"""What is asked of one condition: plain data that travels as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from ..errors import BadInput

PLACES = ("auto", "this machine", "edge")
LEAST_RESOLUTION_PX, MOST_RESOLUTION_PX = 64, 4096


@dataclass(frozen=True, slots=True)
class ConditionRequest:
    """One condition: which detector, at which size, how strong, when, and where it may run."""

    detector: str
    resolution: int = 512  # shorter side of the hint in pixels
    params: Mapping[str, float] = field(default_factory=dict[str, float])  # missing: defaults
    strength: float = 1.0  # its scale, if none is estimated
    start: float = 0.0  # share of the steps, 0..1
    end: float = 1.0
    where: str = "auto"

    def __post_init__(self) -> None:
        if not LEAST_RESOLUTION_PX <= self.resolution <= MOST_RESOLUTION_PX:
            do = f"choose {LEAST_RESOLUTION_PX} to {MOST_RESOLUTION_PX} pixels"
            raise BadInput("resolution", self.resolution, do)
        if not (0 <= self.strength <= 10 and 0 <= self.start < self.end <= 1):  # NaN fails too
            seen = (self.strength, self.start, self.end)
            raise BadInput(
                "(strength, start, end)", seen, "need strength 0..10 and 0 <= start < end <= 1"
            )
        if self.where not in PLACES:
            raise BadInput("where", self.where, f"choose one of {', '.join(PLACES)}")

    def as_dict(self) -> dict[str, Any]:
        return {"version": 1, **asdict(self)}

    @classmethod
    def from_dict(cls, form: Mapping[str, Any]) -> Self:
        """The request in its JSON form.

        Raises:
            BadInput: another version, a missing or unknown key, or a value out of range.
        """
        values = dict(form)
        if values.pop("version", None) != 1:
            raise BadInput("condition", form, "need version 1")
        try:
            return cls(**values)
        except TypeError as error:  # missing, unknown
            raise BadInput("condition", form, f"mend the keys, {error}") from error
