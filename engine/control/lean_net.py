"""A ControlNet's network without the work that nobody reads; core's own code runs it."""

from __future__ import annotations

import copy
from typing import Any

import torch
from comfy.cldm.cldm import ControlNet as Network
from torch import Tensor

from .positions import FULL_LENGTH, FULL_LEVELS, Fit, is_part, positions_of


class EncodedOnce(torch.nn.Module):
    """A hint encoder. What it gives depends on the hint alone, which stays the same all run.

    Args:
        most: how many hints are kept, where no run's end may be told.
    """

    def __init__(self, encoder: torch.nn.Module, most: int | None = None) -> None:
        super().__init__()
        self.encoder, self.most = encoder, most
        self.known: list[tuple[Tensor, Tensor]] = []  # one, unless areas or batches differ in size

    def forward(self, hint: Tensor, *rest: Any) -> Tensor:
        for seen, encoded in self.known:
            if seen is hint or (seen.shape == hint.shape and torch.equal(seen, hint)):
                return encoded
        encoded = self.encoder(hint, *rest)
        self.known.append((hint, encoded))
        if self.most is not None:
            del self.known[: -self.most]
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
    is left has the same bits. What a compact network says is listed at SD1.5's positions, so that
    it may stand in one chain with full ones, and before any UNet. The network given is not changed.
    """
    made: Any = copy.copy(network)
    vars(made)["_modules"] = dict(network.named_children())  # else the two would share their parts
    made.input_hint_block = EncodedOnce(network.input_hint_block)
    if len(network.zero_convs) != FULL_LENGTH:
        return _listed_in_full(made, network, fit)
    if fit is None:
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


def _listed_in_full(made: Any, network: Network, fit: Fit | None) -> Network:
    """`made` with empty places between its blocks, unless its UNet is not of SD1.5's kind.

    A network of the UNet's own shape stands where the UNet does, whatever its file told. One that
    is as shallow as its UNet stays as it is: its middle fits there, and no full network's does.
    """
    resnets: list[int] = list(network.num_res_blocks)
    shallow = len(resnets) < FULL_LEVELS
    own = fit is not None and len(fit.positions) == len(network.zero_convs)
    foreign = network.num_classes is not None or not is_part(resnets)
    if foreign or (own and shallow):
        return made
    positions = fit.positions if own and fit else positions_of(resnets)
    blocks = dict(zip(positions, network.input_blocks, strict=True))
    convs = dict(zip(positions, network.zero_convs, strict=True))
    places = range(FULL_LENGTH)
    made.input_blocks = torch.nn.ModuleList(blocks.get(place, Passed()) for place in places)
    made.zero_convs = torch.nn.ModuleList(convs.get(place, Unread()) for place in places)
    if shallow:
        made.middle_block, made.middle_block_out = Passed(), Unread()
    return made
