"""Which block of the full SD1.5 each block of a compact UNet was made from.

What is made for the full UNet (LoRAs, weights of single attentions) names its blocks. On a UNet
with fewer blocks the same names mean others, or none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from comfy.model_patcher import ModelPatcher

from ..control.positions import FULL_LENGTH, FULL_LEVELS, FULL_RESNETS, fit_of

Place = tuple[str, int]  # ("output", 4), as ComfyUI names blocks to patches
Places = dict[Place, Place]  # a compact UNet's blocks -> the full UNet's

MIDDLE: Place = ("middle", 0)
A_LEVEL = FULL_RESNETS + 1  # blocks of the full UNet in each level, of either path
POSITIONS = "tandem_positions"  # attachment of a MODEL whose file told them


def origins(model: ModelPatcher) -> Places:
    """The blocks that a MODEL's weights came from.

    A compact down level starts as the full one's first blocks; every up block as the one that adds
    the same position's output. Where the file told positions, down blocks are these too.
    Source: the weight copies of arXiv 2305.15798.
    Raises:
        BadInput: no UNet of SD1.5's kind.
    """
    unet: Any = model.model.diffusion_model
    told: Sequence[int] | None = model.get_attachment(POSITIONS)
    kept = fit_of(unet, told).positions
    up = [FULL_LENGTH - 1 - position for position in reversed(kept)]
    return _places(_first_of_levels(unet) if told is None else told, up, unet)


def namesakes(model: ModelPatcher) -> Places:
    """The blocks that have the same names in diffusers' form."""
    unet: Any = model.model.diffusion_model
    counts = enumerate(reversed(unet.num_res_blocks))
    up = [A_LEVEL * level + index for level, count in counts for index in range(count + 1)]
    return _places(_first_of_levels(unet), up, unet)


def _first_of_levels(unet: UNetModel) -> list[int]:
    found = [0]
    for level, count in enumerate(unet.num_res_blocks):
        found += range(A_LEVEL * level + 1, A_LEVEL * level + 1 + count)
        found.append(A_LEVEL * (level + 1))  # the downsampler, which the last level lacks
    return found[:-1]


def _places(down: Sequence[int], up: Sequence[int], unet: UNetModel) -> Places:
    inputs = {("input", block): ("input", origin) for block, origin in enumerate(down)}
    outputs = {("output", block): ("output", origin) for block, origin in enumerate(up)}
    middle = {MIDDLE: MIDDLE} if len(unet.num_res_blocks) == FULL_LEVELS else {}
    return inputs | middle | outputs


def block_at(unet: UNetModel, place: Place) -> Any:
    """Core's block there, a sequence of layers; an empty one for a middle that is not there."""
    path, index = place
    return (unet.middle_block or ()) if path == "middle" else getattr(unet, f"{path}_blocks")[index]


def same_weights(compact: UNetModel, full: UNetModel, places: Places) -> dict[str, str]:
    """Names of the full UNet's weights -> names of the compact one's in those places.

    Layers of a block are matched by kind: attention may be missing in one of the two.
    """
    outside = ("time_embed.", "out.")
    found = {name: name for name in compact.state_dict() if name.startswith(outside)}
    for place, origin in places.items():
        theirs = _layers(full, origin)
        if place[0] == "output":  # a level's upsampler stands behind its last block
            last = origin[1] // A_LEVEL * A_LEVEL + A_LEVEL - 1
            theirs = _layers(full, ("output", last)) | theirs
        for kind, (prefix, layer) in _layers(compact, place).items():
            if kind in theirs:
                source, _ = theirs[kind]
                found |= {f"{source}.{name}": f"{prefix}.{name}" for name in layer.state_dict()}
    return found


def _layers(unet: UNetModel, place: Place) -> dict[tuple[str, int], tuple[str, Any]]:
    """Layers of a block with their names, by kind; the middle has two of one kind."""
    path, block = place
    name = "middle_block" if path == "middle" else f"{path}_blocks.{block}"
    found: dict[tuple[str, int], tuple[str, Any]] = {}
    for index, layer in enumerate(block_at(unet, place)):
        kind = type(layer).__name__
        number = sum(known == kind for known, _ in found)
        found[kind, number] = (f"{name}.{index}", layer)
    return found
