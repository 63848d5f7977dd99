"""Stands in for torchaudio where it is not installed: imports work, sound does not."""

from typing import Any

__version__ = "0.0.0"


class _Missing:
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise ImportError("torchaudio is not installed: install it to work with sound")


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    return _Missing
