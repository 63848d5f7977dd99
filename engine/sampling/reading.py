"""Files that other people's loaders read: what these raise does not say what a person can do."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import torch

from ..errors import BadInput, TandemError


@contextmanager
def reading(what: str, path: Path, do: str) -> Generator[None]:
    """Raises:
    BadInput: what is inside cannot read the file, or does not know what it holds.
    """
    try:
        yield
    except (TandemError, MemoryError, torch.cuda.OutOfMemoryError):
        raise
    except Exception as error:  # pickle's, safetensors', core's; the tokenizers' is this very one
        reason = str(error).strip().partition("\n")[0]
        raise BadInput(what, f"{path}: {reason or type(error).__name__}", do) from error
