"""Files that other people's loaders read: what these raise does not say what a person can do."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError

from safetensors import SafetensorError

from ..errors import BadInput, TandemError

UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    RuntimeError,  # PyTorch's, of weights that do not fit; core's, of a kind it does not know
    EOFError,
    UnpicklingError,
    SafetensorError,
)


@contextmanager
def reading(what: str, path: Path, do: str) -> Generator[None]:
    """Raises:
    BadInput: what is inside cannot read the file, or does not know what it holds.
    """
    try:
        yield
    except TandemError:
        raise
    except UNREADABLE as error:
        reason = str(error).strip().partition("\n")[0]
        raise BadInput(what, f"{path}: {reason or type(error).__name__}", do) from error
