"""Solids as signed distance, normal and shade at local coordinates (v down, radius 1)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Solid(NamedTuple):
    """Each [N, H, W], normal [N, 3, H, W]; `face` numbers what a line is drawn between."""

    distance: Tensor
    normal: Tensor
    face: Tensor


BOTTOMS = (1.0, 0.8, 0.9, 0.95, 0.98, 0.82, 0.98)  # v of the lowest point, in SHAPES' order


def ball(u: Tensor, v: Tensor) -> Solid:
    rho = (u * u + v * v).sqrt()
    up = (1 - rho**2).clamp(min=1e-3).sqrt()
    return Solid(rho - 1, torch.stack([u, v, up], 1), _faces(u))


def cube(u: Tensor, v: Tensor) -> Solid:
    top = v < -0.45
    side = (u > 0.42) & ~top
    normal = _normal(
        torch.where(side, 0.9, 0.0),
        torch.where(top, -0.9, 0.0),
        torch.where(top | side, 0.43, 1.0),
    )
    return Solid(torch.maximum(u.abs(), v.abs()) - 0.8, normal, top.long() + 2 * side.long())


def cone(u: Tensor, v: Tensor) -> Solid:
    width = 0.45 * (v + 1)
    across = (u / width.clamp(min=0.05)).clamp(-0.97, 0.97)
    normal = _normal(across, torch.full_like(u, -0.2), (1 - across**2).sqrt())
    return Solid(torch.maximum(v - 0.9, (u.abs() - width) * 0.91), normal, _faces(u))


def cylinder(u: Tensor, v: Tensor) -> Solid:
    across = (u / 0.55).clamp(-0.97, 0.97)
    top = ((u / 0.55) ** 2 + ((v + 0.78) / 0.17) ** 2) < 1
    normal = _normal(
        torch.where(top, 0.0, across),
        torch.where(top, -0.9, 0.0),
        torch.where(top, 0.43, (1 - across**2).sqrt()),
    )
    return Solid(torch.maximum(u.abs() - 0.55, v.abs() - 0.95), normal, top.long())


def ring(u: Tensor, v: Tensor) -> Solid:
    rho = (u * u + v * v).sqrt()
    out = ((rho - 0.7) / 0.28).clamp(-0.97, 0.97)
    unit = rho.clamp(min=1e-3)
    normal = torch.stack([out * u / unit, out * v / unit, (1 - out * out).sqrt()], 1)
    return Solid((rho - 0.7).abs() - 0.28, normal, _faces(u))


def star(u: Tensor, v: Tensor) -> Solid:
    """Five points: distance to the edge between an outer and the next inner corner."""
    rho, angle, step = (u * u + v * v).sqrt(), torch.atan2(u, -v), 2 * math.pi / 5
    folded = (angle - torch.round(angle / step) * step).abs()
    across, along = rho * folded.cos(), rho * folded.sin()
    tip, inner = 1.05, 0.47
    ix, iy = inner * math.cos(math.pi / 5), inner * math.sin(math.pi / 5)
    ex, ey = ix - tip, iy
    distance = ((across - tip) * ey - along * ex) / math.hypot(ex, ey)
    lean = 0.5 * torch.sign(u) * (folded > step / 4)
    normal = _normal(lean, 0.3 * torch.sign(v), torch.full_like(u, 0.8))
    return Solid(distance, normal, _faces(u))


SOLIDS: tuple[Callable[[Tensor, Tensor], Solid], ...] = (ball, cube, cone, cylinder, ring, star)


def _normal(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    return torch.stack([x, y, z], 1)


def _faces(u: Tensor) -> Tensor:
    return torch.zeros_like(u, dtype=torch.long)
