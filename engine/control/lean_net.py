"""A ControlNet's network without the work that nobody reads; core's own code runs it."""

from __future__ import annotations

import copy
from typing import Any

import torch
from comfy.cldm.cldm import ControlNet as Network
from torch import Tensor

from .positions import FULL_LENGTH, Fit


class EncodedOnce(torch.nn.Module):
    """A hint encoder. What it gives depends on the hint alone, which stays the same all run."""

    def __init__(self, encoder: torch.nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.known: list[tuple[Tensor, Tensor]] = []  # one, unless areas or batches differ in size

    def forward(self, hint: Tensor, *rest: Any) -> Tensor:
        for seen, encoded in self.known:
            if seen is hint or (seen.shape == hint.shape and torch.equal(seen, hint)):
                return encoded
        encoded = self.encoder(hint, *rest)
        self.known.append((hint, encoded))
        return encoded


class Passed(torch.nn.Module):
    """A block that leads to nothing."""

    def forward(self, feature: Tensor, *_: Any) -> Tensor:
        return feature


class Unread(torch.nn.Module):
    """A residual that nobody takes: its place in the list stays."""

    def forward(self, *_: Any) -> None:
        return None


def lean(network: Network, fit: Fit | None) -> Network:
    """A shallow copy on the same weights that encodes each hint once.

    With a fit, what a full network computes for blocks that the UNet lost is left out too; what
    is left has the same bits. The network given is not changed.
    """
    made: Any = copy.copy(network)
    vars(made)["_modules"] = dict(network.named_children())  # else the two would share their parts
    made.input_hint_block = EncodedOnce(network.input_hint_block)
    if fit is None or len(network.zero_convs) != FULL_LENGTH:
        return made
    made.zero_convs = torch.nn.ModuleList(
        conv if position in fit.positions else Unread()
        for position, conv in enumerate(network.zero_convs)
    )
    if not fit.middle:
        last = fit.positions[-1]
        made.input_blocks = torch.nn.ModuleList(
            block if position <= last else Passed()
            for position, block in enumerate(network.input_blocks)
        )
        made.middle_block, made.middle_block_out = Passed(), Unread()
    return made
