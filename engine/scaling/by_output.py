"""Residuals of one net by the encoder's output that each is added to."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..control.positions import FULL_LENGTH, Control, Fit


def by_output(control: Control, fit: Fit | None, pictures: Sequence[int]) -> dict[int, Tensor]:
    """Rows `pictures` of each residual, by the number of the UNet's own encoder output.

    ControlNets list them in the encoder's order, T2I-Adapters the deepest first. With a fit, lists
    for a full UNet are read where the compact one has its outputs.
    """
    found: dict[int, Tensor] = {}
    for part in ("output", "input"):
        values = control.get(part, [])
        if part == "input":
            values = values[::-1]
        places = range(len(values))
        if fit is not None and len(values) == FULL_LENGTH:
            places = fit.positions
        for at, place in enumerate(places):
            value = values[place]
            if value is not None:
                found[at] = value[pictures] if len(value) > max(pictures) else value[:1]
    return found
