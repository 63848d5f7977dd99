"""Tandem's commands. Importing this needs the standard library only; a command brings the rest."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any, Protocol

from ..engine.errors import TandemError
from . import calibrate, demo, distill, export, models, profile, train, worker, workers


class Commands(Protocol):
    """What argparse's `add_subparsers` returns, as far as a command needs it."""

    def add_parser(self, name: str, **kwargs: Any) -> argparse.ArgumentParser: ...


COMMANDS = (
    demo,
    worker,
    workers,
    models,
    profile,
    calibrate,
    train,
    distill,
    export,
)  # one module a command, in the order of --help


def parse(argv: Sequence[str] | None = None, prog: str = "tandem") -> argparse.Namespace:
    """The options of a command line; wrong ones end the process with a usage line."""
    about = "Several ControlNets at once, fast and hands-free, in ComfyUI."
    parser = argparse.ArgumentParser(prog=prog, description=about, allow_abbrev=False)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_parser(commands)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None, prog: str = "tandem") -> int:
    """Runs one command; returns its exit code, 2 for an error that a person can mend."""
    options = parse(argv, prog)
    try:
        return options.run(options)
    except TandemError as error:
        print(f"tandem: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130
