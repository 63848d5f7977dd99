"""`python -m comfyui_tandem.edge_worker`."""

from __future__ import annotations

import argparse
import sys

from ..engine.errors import TandemError
from .arguments import add_arguments, run_worker


def main() -> int:
    parser = argparse.ArgumentParser(prog="comfyui_tandem.edge_worker")
    add_arguments(parser)
    try:
        return run_worker(parser.parse_args())
    except TandemError as error:
        sys.stderr.write(f"{error}\n")
        return 2


if __name__ == "__main__":
    raise SystemExit(main())
