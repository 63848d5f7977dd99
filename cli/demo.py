"""tandem demo: the multi-condition example in a real ComfyUI with a real worker, and a report."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..engine.errors import Unavailable

if TYPE_CHECKING:
    from . import Commands


def add_parser(commands: Commands) -> None:
    about = "runs the multi-condition example and reports what ran where"
    parser = commands.add_parser("demo", help=about, description=about, allow_abbrev=False)
    add_options(parser)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The demo's options; `scripts/demo.py` takes the same."""
    parser.add_argument(
        "--photo",
        type=Path,
        metavar="FILE",
        help="your photo, cut to a square (default: a rendered scene)",
    )
    parser.add_argument("--prompt", metavar="TEXT", help="what the picture shall show")
    parser.add_argument(
        "--worker",
        metavar="URL",
        help="an edge worker that runs already, its token in TANDEM_TOKEN (default: started here)",
    )
    parser.add_argument("--ca-file", metavar="FILE", help="certificate (PEM) of that worker")
    parser.add_argument(
        "--fast",
        action="store_true",
        help="sample again with few-step compact members, and show calls and times side by side",
    )
    parser.add_argument(
        "--keep-running", action="store_true", help="leave the editor open on a URL until Ctrl-C"
    )
    parser.add_argument("--comfyui", metavar="DIR", help="use the ComfyUI in this folder")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the report (JSON) there as well"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    try:
        from .demo_run import run_demo
    except ModuleNotFoundError as error:
        do = "run scripts/demo.py, which installs it, or pip install tqdm websocket-client"
        raise Unavailable("package for the demo", error.name, do) from error
    return run_demo(options)
