"""From residuals and the UNet's own features to what the rule decides by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .pushed import Matrix

COMPARED = 2  # finest resolutions that are compared
Residuals = Mapping[int, Tensor]  # by the encoder's output that they are added to


@dataclass(frozen=True, eq=False)
class Step:
    """What one call of the UNet showed of K pushes.

    gram: [K, K] float64, mean over pictures.
    energy: [K, P] float64, of each push at each place of the finest resolution, of all pictures.
    coarse: as gram, of the resolutions that it leaves out; None: there are none.
    """

    gram: Tensor
    energy: Tensor
    coarse: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Measured:
    """Of one step: gram [K, K], overlap of places [K, K], and gram at the coarse resolutions."""

    gram: Matrix
    where: Matrix
    coarse: Matrix | None

    @property
    def is_finite(self) -> bool:
        """Whether there is anything to decide by."""
        numbers = (self.gram, self.where, *(() if self.coarse is None else (self.coarse,)))
        return all(bool(np.isfinite(matrix).all()) for matrix in numbers)


def compare(nets: Sequence[Residuals], features: Mapping[int, Tensor]) -> Step | None:
    """The pushes of K nets over the UNet's resolutions; None if there is nothing to compare.

    Coarse ones are kept apart: there, features tell rather which net speaks than what it says.
    (Seen on few scenes of the demo family; no benchmark shows it.)

    Args:
        nets: residuals [B, C, h, w] of each, by the encoder's output, any dtype.
        features: that output of the UNet, [B, C, h, w].
    Source: after the abstract of arXiv 2605.08836: v = r / ||h||, all outputs of a resolution
        and all resolutions weighted alike.
    """
    read = {at for residuals in nets for at in residuals} & features.keys()
    sizes = sorted({_area(features[at]) for at in read}, reverse=True)
    if not sizes:
        return None
    shape = (len(nets), len(features[min(read)]) * sizes[0])
    energy = torch.zeros(shape, dtype=torch.float64)
    grams: list[Tensor] = []
    for size in sizes:
        same = sorted(at for at in features if _area(features[at]) == size)
        fill = [_fill(net, same) for net in nets]
        gram = torch.zeros(len(nets), len(nets), dtype=torch.float64)
        for at in same:
            shares = _shares(nets, fill, features[at], at)
            rows = shares.flatten(2)  # [B, K, C h w]
            gram += (rows @ rows.transpose(1, 2)).cpu().double().mean(0) / len(same)
            if size == sizes[0]:
                energy += shares.pow(2).sum(2).transpose(0, 1).flatten(1).cpu().double()
        grams.append(gram)
    fine, coarse = grams[:COMPARED], grams[COMPARED:]
    return Step(_mean(fine), energy, _mean(coarse) if coarse else None)


def joined(steps: Sequence[Step]) -> Measured:
    """Of several calls of one step: Gram matrices, and how much their places overlap.

    The overlap of two is the common mass of their energy maps, each of mass 1.
    """
    energy = torch.cat([step.energy for step in steps], 1)
    maps = energy / energy.sum(1, keepdim=True).clamp(min=torch.finfo(torch.float64).tiny)
    where = torch.stack([torch.minimum(one, maps).sum(1) for one in maps])
    coarse = [step.coarse for step in steps if step.coarse is not None]
    gram = _mean([step.gram for step in steps])
    return Measured(gram.numpy(), where.numpy(), _mean(coarse).numpy() if coarse else None)


def _mean(grams: Sequence[Tensor]) -> Tensor:
    return torch.stack([*grams]).mean(0)


def _shares(nets: Sequence[Residuals], fill: Sequence[float], feature: Tensor, at: int) -> Tensor:
    """[B, K, C, h w] float32: residuals there by the feature's length; none is zero."""
    length = feature.float().flatten(1).norm(dim=1)[:, None, None].clamp(min=1e-12)
    size = (len(feature), len(nets), feature.shape[1], feature[0, 0].numel())
    shares = torch.zeros(size, device=feature.device)
    for row, (residuals, more) in enumerate(zip(nets, fill, strict=True)):
        residual = residuals.get(at)
        if residual is not None and residual.shape[1:] == feature.shape[1:]:  # else of other layers
            whole = residual.float().expand(feature.shape).flatten(2)
            torch.mul(whole, more / length, out=shares[:, row])
    return shares


def _fill(net: Residuals, same: Sequence[int]) -> float:
    """Makes one residual of a T2I-Adapter, which goes on into what follows, count for all."""
    own = sum(at in net for at in same)
    return (len(same) / own) ** 0.5 if own else 0.0


def _area(feature: Tensor) -> int:
    return feature.shape[-2] * feature.shape[-1]
