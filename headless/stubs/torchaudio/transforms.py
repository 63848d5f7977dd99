"""Stands in for the module of that name in torchaudio."""

from . import __getattr__

__all__ = ["__getattr__"]
