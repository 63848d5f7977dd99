"""A worker process whose children have the odd detectors: `serve` with another child program."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .conftest import Running

HERE = Path(__file__).resolve()


@contextmanager
def odd_worker(log: Path, **settings: object) -> Generator[Running]:
    from .conftest import TOKEN, spawn

    command = [sys.executable, str(HERE), repr(settings)]
    environment = {"TANDEM_TEST_TOKEN": TOKEN, "TANDEM_TEST_HANGS": str(hangs(log))}
    with spawn(command, log, environment) as worker:
        yield worker


def hangs(log: Path) -> Path:
    """Is there once the detector that hangs was reached."""
    return log.with_name(f"{log.name}.hangs")


def let_go(log: Path) -> None:
    """End the detector that is held."""
    Path(f"{hangs(log)}.go").touch()


def main() -> int:
    import ast

    from comfyui_tandem.edge_worker.guard import ConnectionLimits
    from comfyui_tandem.edge_worker.serve import Address, serve
    from comfyui_tandem.edge_worker.settings import Settings

    given = ast.literal_eval(sys.argv[1])
    token = os.environ.pop("TANDEM_TEST_TOKEN")
    program = Path(given.pop("child_program", HERE.with_name("odd_child.py")))
    limits = ConnectionLimits(**given.pop("limits", {}))
    address = Address(port=0, **given.pop("address", {}))
    return serve(Settings(token=token, child_program=program, **given), address, limits)


if __name__ == "__main__":
    raise SystemExit(main())
