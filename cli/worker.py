"""`tandem worker`: serve conditions to other machines."""

from __future__ import annotations

import argparse
from typing import Any

from ..edge_worker.arguments import add_arguments
from ..engine.errors import Unavailable


def add_parser(commands: Any) -> None:
    about = "serve conditions to ComfyUI on another machine"
    parser = commands.add_parser("worker", help=about, description=about)
    add_arguments(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    try:
        from ..edge_worker.arguments import run_worker

        return run_worker(args)
    except ModuleNotFoundError as error:
        do = 'pip install ".[worker,detectors]" in the pack\'s folder'
        raise Unavailable("package for the worker", error.name, do) from error
