"""One error tree for every room: what is wrong, what was seen, what to do.

TandemError
    BadInput       a value that cannot be used
    Unavailable    a package, file, detector or worker that is not there
"""

from __future__ import annotations


class TandemError(Exception):
    """What is wrong, what was seen, what to do, in one sentence a person can act on."""

    def __init__(self, what: str, seen: object, do: str) -> None:
        super().__init__(what, seen, do)  # all of it, so that it pickles
        self.what, self.seen, self.do = what, seen, do

    def __str__(self) -> str:
        return f"{self.what} is {self.seen!r:.200}: {self.do}."


class BadInput(TandemError, ValueError):
    """A value that cannot be used."""


class Unavailable(TandemError):
    """A package, file, detector or worker that is not there."""
