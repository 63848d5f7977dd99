"""Which part of the full UNet each part of a student plays: BK-SDM's table (arXiv 2305.15798).

A student keeps the first ResNet and attention of every down level, the first and the third of
every up level; Small drops the middle, Tiny also the innermost level. Source: the weight copies
and feature pairs of the authors' training code (Nota-NetsPresso/BK-SDM).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import Module

BASE_OUTPUTS = 8
KINDS = ("resnets", "attentions")
ZERO = "controlnet_down_blocks."
INNERMOST = (
    "down_blocks.2.attentions.0.proj_out",
    "down_blocks.2.attentions.1.proj_out",
)  # Tiny's stage has no downsampler: compared before the sum with what went in


def pruned(weights: dict[str, Tensor], student: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copies of the full UNet's weights for all keys of a student: what it starts from."""
    lost = 0 if any(key.startswith("up_blocks.3.") for key in student) else 1
    return {key: weights[teachers_key(key, lost)].clone() for key in student}


def teachers_key(key: str, lost: int) -> str:
    """The full UNet's key that a student's starts from; `lost`: levels that it lacks."""
    if not key.startswith("up_blocks."):
        return key
    path, level, rest = key.split(".", 2)
    for kind in KINDS:
        rest = rest.replace(f"{kind}.1.", f"{kind}.2.")
    return f"{path}.{int(level) + lost}.{rest}"


def feature_pairs(layout: str) -> list[tuple[str, str]]:
    """Modules at the ends of stages, the student's and the teacher's, whose outputs shall agree."""
    levels = 3 if layout == "tiny" else 4
    down = [(f"down_blocks.{level}",) * 2 for level in range(levels)]
    if layout == "tiny":
        down[-1] = INNERMOST
    up = [(f"up_blocks.{level}", f"up_blocks.{level + 4 - levels}") for level in range(levels)]
    return [*down, *up]


def kept_positions(outputs: int) -> tuple[int, ...]:
    """Which of the full UNet's encoder outputs (0..11) a student's so many stand for: whose
    ControlNet residuals it reads.

    An up layer that starts from the teacher's first read the last output of its level, one that
    starts from the third read the level's input; so of two ResNets the second's residual stays.
    """
    return tuple(range(12)) if outputs == 12 else (0, 2, 3, 5, 6, 8, 9, 11)[:outputs]


def kept_residuals(
    residuals: Sequence[Tensor], middle: Tensor, outputs: int
) -> tuple[list[Tensor], Tensor]:
    """A full or compact ControlNet's residuals for a student with so many encoder outputs.

    A ControlNet made for the student passes unchanged. Tiny is not as deep as the middle: 0. So are
    the places of a full UNet that a compact ControlNet has nothing for.
    """
    if len(residuals) == outputs:
        return list(residuals), middle
    nothing = torch.zeros((), device=middle.device)
    given = dict(zip(kept_positions(len(residuals)), residuals, strict=True))
    kept = [given.get(position, nothing) for position in kept_positions(outputs)]
    return kept, middle if outputs > 6 else nothing


def encoder_outputs(unet: Module) -> int:
    """Its first convolution's, and those of every ResNet and downsampler."""
    return 1 + sum(len(block.resnets) + len(block.downsamplers or ()) for block in unet.down_blocks)


def control_start(weights: dict[str, Tensor], compact: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copies of a full ControlNet's weights for all keys of one with Base's levels."""
    kept = kept_positions(BASE_OUTPUTS)
    found: dict[str, Tensor] = {}
    for key in compact:
        source = key
        if key.startswith(ZERO):
            index, part = key.removeprefix(ZERO).split(".")
            source = f"{ZERO}{kept[int(index)]}.{part}"
        found[key] = weights[source].clone()
    return found
