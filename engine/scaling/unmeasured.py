"""Rows of the nets that a run did not measure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..control.link import Link, Tag
from ..control.unroll import ControlChain
from .asked import Asked, asked_of, is_asked
from .ledger import Ledger, Row
from .scale import Scale

HIDDEN = "not measured: the exported UNet shows no features of its own"


def unmeasured(link: Link, shown: bool = True) -> Scale:
    """shown: whether the UNet shows its features, which a push is measured against."""
    asked, strength = asked_of(link), float(link.net.strength)
    why = "could not be measured" if shown else HIDDEN
    why = why if link.calls else "did not act"
    return Scale(asked.cond, strength, strength, reason=why)


def row_of(link: Link, scale: Scale) -> Row:
    return Row(scale, link.calls, link.reused, link.ended)


def rows_of_others(tags: Iterable[Tag], chains: Sequence[ControlChain]) -> list[tuple[Ledger, Row]]:
    """Of the nets that another pack calls: its own ones, those before them, in cut hints all.

    How often is known of one that has none before it to ask.
    """
    links = {link.tag: link for chain in chains for link in chain.links}
    rows: list[tuple[Ledger, Row]] = []
    for tag in tags:
        link = links.get(tag)
        if not isinstance(tag, Asked) or (link and is_asked(link)):
            continue
        calls = link.calls if link and link.net.previous_controlnet is None else None
        rows.append((tag.ledger, tag.ledger.of_others(tag.cond, calls)))
    return rows
