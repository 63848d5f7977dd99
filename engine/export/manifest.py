"""What an exported folder tells of itself: of which weights, how exact, how fast on what."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from ..errors import BadInput, Unavailable
from ..sampling.checksum import HELD, coarsest, weights_crc32

FILE = "manifest.json"
UNET_FILE, DECODER_FILE, CONTROL_FOLDER = "unet.onnx", "decoder.onnx", "control"


class Part(BaseModel):
    """One network.

    file: its path in the folder; `bytes` with the weights beside it.
    weights_crc32: of the PyTorch weights that it was made of, one a precision they may be held in.
    positions: SD1.5's encoder outputs that its residuals stand for, of a UNet or ControlNet.
    max_difference, relative_difference: from PyTorch, the largest absolute and the root mean square
        as a share of what PyTorch gives.
    seconds: a call by `pytorch`, `fp32` and, if it was made, `int8`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Literal["unet", "control", "decoder"]
    file: str
    bytes: int
    weights_crc32: dict[str, int]
    positions: tuple[int, ...] = ()
    max_difference: float
    relative_difference: float
    seconds: dict[str, float]


class Manifest(BaseModel):
    """source: what was asked for. machine: where seconds were measured. px: the picture's side."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    version: Literal[2] = 2
    source: str
    precision: Literal["fp32", "int8"]
    opset: int
    px: int
    machine: str
    made_by: dict[str, str]
    parts: tuple[Part, ...]

    def part(self, file: str) -> Part | None:
        return next((part for part in self.parts if part.file == file), None)


def read_manifest(folder: Path) -> Manifest:
    """Raises:
    Unavailable: no such folder, or nothing exported in it.
    BadInput: a manifest of another version, or broken.
    """
    file = folder / FILE
    if not file.is_file():
        raise Unavailable("exported model", str(folder), "export it with `tandem export`")
    try:
        return Manifest.model_validate_json(file.read_bytes())
    except ValidationError as error:
        do = f"export it anew: {error.errors()[0]['msg']}"
        raise BadInput("manifest", str(file), do) from error


def write_manifest(folder: Path, manifest: Manifest) -> None:
    text = manifest.model_dump_json(indent=1) + "\n"
    (folder / FILE).write_text(text, encoding="utf-8")


def checksums(weights: Mapping[str, Tensor]) -> dict[str, int]:
    """Of weights in 32 bits, by what ComfyUI may round them to."""
    return {precision: weights_crc32(weights, precision) for precision in HELD}


def is_made_of(part: Part, weights: Mapping[str, Tensor]) -> bool:
    """Whether it was made of these, in whatever precision ComfyUI holds them here."""
    precision = coarsest(weights)
    return weights_crc32(weights, precision) == part.weights_crc32.get(precision)
