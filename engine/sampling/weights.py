"""Tensors and metadata of a safetensors file, or what is wrong with it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import Unavailable


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors by key, and metadata.

    Raises:
        Unavailable: no such file, or no safetensors file.
    """
    with _opened(path) as file:
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}


def read_shapes(path: Path) -> dict[str, Tensor]:
    """Empty tensors of the meta device, shaped as the file's: nothing but its header is read.

    Raises:
        Unavailable: as `read_weights`.
    """
    with _opened(path) as file:
        shapes = {key: file.get_slice(key).get_shape() for key in file.keys()}
    return {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}


@contextmanager
def _opened(path: Path) -> Generator[Any]:
    if not path.is_file():
        raise Unavailable("model file", str(path), "put it there or choose another model")
    try:
        with safe_open(path, "pt") as file:
            yield file
    except SafetensorError as error:
        raise Unavailable("model file", f"{path}: {error}", "fetch it anew") from error
