"""What a student is taught by: the task, the teacher's output, and its features on the way.

Source: BK-SDM, arXiv 2305.15798: L = task + output + features, each with weight 1. There all
three are plain squared errors: `bk_loss`, for pretrained teachers. For the family the first two
weigh times as its own training does, and every feature's error is in shares of the teacher's mean
square, so that no stage outweighs the others; their mean is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module
from torch.nn.functional import mse_loss

from .diffusion import weighted_loss

QUIET = 1e-3  # mean square of a feature that says next to nothing: its share would be anything


class Watched:
    """Outputs of some modules in the last call of the network they are in."""

    def __init__(self, network: Module, names: Sequence[str]) -> None:
        self._seen: dict[str, Tensor] = {}
        self._names = tuple(names)
        for name in self._names:
            network.get_submodule(name).register_forward_hook(self._keeping(name))

    def outputs(self) -> list[Tensor]:
        """In the order of the names; a down block's without the skips that it also gives."""
        return [self._seen[name] for name in self._names]

    def _keeping(self, name: str) -> Any:
        def keep(module: Module, given: Any, out: Any) -> None:
            self._seen[name] = out[0] if isinstance(out, tuple) else out

        return keep


def shares_missed(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """Mean over pairs of the squared error as a share of what was wanted."""
    shares = [
        ((a - b) ** 2).mean() / (b**2).mean().clamp(min=QUIET)
        for a, b in zip(found, wanted, strict=True)
    ]
    return torch.stack(shares).mean()


def taught_loss(
    out: Tensor, noise: Tensor, taught: Tensor, times: Tensor, features: Tensor
) -> Tensor:
    """`out` [N, 4, h, w] against the noise and the teacher's guess of it; the features' loss."""
    task, output = (weighted_loss(out, wanted, times, 0.1) for wanted in (noise, taught))
    return task + output + features


def bk_loss(
    out: Tensor,
    noise: Tensor,
    taught: Tensor,
    features: Sequence[Tensor],
    wanted: Sequence[Tensor],
) -> Tensor:
    """As published: squared errors of the noise and the teacher's guess, and of every feature."""
    pairs = [(out, noise), (out, taught), *zip(features, wanted, strict=True)]
    return torch.stack([mse_loss(a.float(), b.float()) for a, b in pairs]).sum()
