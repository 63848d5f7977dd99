"""The nets of Apply Conditions with estimate, as a run finds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..control.link import Link
from ..control.unroll import Listener
from ..errors import BadInput
from .ledger import Ledger


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """What such a net carries: its condition, where its figures go, and who measures them."""

    cond: str
    ledger: Ledger
    listener: Listener

    def same_as(self, other: Asked) -> bool:
        return self.ledger is other.ledger and self.cond == other.cond


def is_asked(link: Link) -> bool:
    """Whether it can be measured: what another pack calls can not."""
    return isinstance(link.tag, Asked) and not link.foreign


def asked_of(link: Link) -> Asked:
    asked = link.tag
    if not isinstance(asked, Asked):
        raise BadInput("net", type(link.net).__name__, "measure those of Apply Conditions alone")
    return asked


def names_of(links: Sequence[Link]) -> tuple[str, ...]:
    """Their conditions; several Apply Conditions in a row number theirs alike."""
    nodes = list(dict.fromkeys(asked_of(link).ledger for link in links))
    seen: set[str] = set()
    names: list[str] = []
    for link in links:
        cond, node = asked_of(link).cond, nodes.index(asked_of(link).ledger) + 1
        names.append(f"{cond} of Apply {node}" if cond in seen else cond)
        seen.add(cond)
    return tuple(names)
