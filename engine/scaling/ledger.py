"""What the last runs of one conditioning found, each known by the latent that came out."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from ..errors import BadInput
from .scale import Scale
from .settings import Settings

MOST_RUNS = 512  # a few hundred bytes each
CONNECT = (  # ComfyUI may have dropped the prompt's node from its cache, and its runs with it
    "connect the sampler's own ('output' of SamplerCustomAdvanced) and the prompt that went in, "
    "or sample again"
)
OTHERS = "not measured: another pack decides how its ControlNet is called"


class UnknownRun(BadInput):
    """What a run measured is asked for, and no run that is remembered is that one."""


@dataclass(frozen=True, slots=True)
class Row:
    """A condition's scale in a run, and how often its net was called.

    calls: None: it was left out, or another pack calls it.
    reused: how often what it had said before was used again.
    ended: whether it came to say next to nothing, and was not called from then on.
    """

    scale: Scale
    calls: int | None = None
    reused: int = 0
    ended: bool = False

    def __str__(self) -> str:
        if self.calls is None:
            return str(self.scale)
        told = f"{self.scale}; {self.calls} {'call' if self.calls == 1 else 'calls'}"
        again = f", {self.reused} more times the same again" if self.reused else ""
        end = ", then next to nothing was left of it" if self.ended else ""
        return f"{told}{again}{end}"


def merged(copies: Sequence[Row]) -> Row:
    """Of one condition's copies, as prompts with different nets before it need: all their calls.

    The scale is the largest of those that acted; it ended where all of those did.
    """
    acted = [row for row in copies if row.calls != 0] or copies
    largest = max(acted, key=lambda row: row.scale.scale)
    calls = [row.calls for row in copies if row.calls is not None]
    return Row(
        largest.scale,
        sum(calls) if len(calls) == len(copies) else None,
        sum(row.reused for row in copies),
        all(row.ended for row in acted),
    )


@dataclass(slots=True, eq=False)
class Ledger:
    """Kept by the nets of one Apply Conditions: the sampler is not ours to get figures out of.

    asked: its conditions in their order; those that were left out before any run with a reason.
    """

    settings: Settings
    asked: tuple[Scale, ...] = ()
    _runs: OrderedDict[str, tuple[Row, ...]] = field(default_factory=OrderedDict)

    def of_others(self, cond: str, calls: int | None) -> Row:
        """The row of a net that another pack calls: it acts as it was asked for."""
        [asked] = (one for one in self.asked if one.cond == cond)
        return Row(replace(asked, reason=OTHERS), calls)

    def write(self, latent: Tensor, found: dict[str, Row]) -> None:
        key = fingerprint(latent)
        self._runs[key] = tuple(found.get(one.cond, Row(one)) for one in self.asked)
        self._runs.move_to_end(key)
        while len(self._runs) > MOST_RUNS:
            self._runs.popitem(last=False)

    def read(self, latent: Tensor) -> tuple[Row, ...]:
        """The rows of the run that made a latent.

        Raises:
            UnknownRun: none that is remembered did.
        """
        found = self._runs.get(fingerprint(latent))
        if found is None:
            seen = f"{tuple(latent.shape)}, of none of {len(self._runs)} runs that are remembered"
            raise UnknownRun("latent", seen, CONNECT)
        return found


def write_all(latent: Tensor, rows: Iterable[tuple[Ledger, Row]]) -> None:
    """What a run found, of every copy of a net."""
    found: dict[Ledger, dict[str, list[Row]]] = {}
    for ledger, row in rows:
        found.setdefault(ledger, {}).setdefault(row.scale.cond, []).append(row)
    for ledger, copies in found.items():
        ledger.write(latent, {cond: merged(same) for cond, same in copies.items()})


def fingerprint(latent: Tensor) -> str:
    """Of its values, wherever it lies."""
    values: Any = latent.detach().to("cpu", torch.float32).contiguous().numpy()
    return hashlib.sha256(values.tobytes()).hexdigest()
