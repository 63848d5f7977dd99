"""A real worker process whose detectors take as long as a file says: `FOLDER HOST PORT [spare]`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ..edge_worker.serve import Address, serve
from ..edge_worker.settings import Settings

TOKEN = "TANDEM_BENCHMARK"  # noqa: S105 - the name of the variable


def main() -> int:
    folder, host, port = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    settings = Settings(
        token=os.environ.pop(TOKEN),
        allowed_hosts=frozenset({host}),
        spare="spare" in sys.argv[4:],
        child_program=Path(__file__).resolve().parent / "paced_child.py",
        model_folders=(folder,),
    )
    return serve(settings, Address(host, port, None, None, plain_http=True))


if __name__ == "__main__":
    raise SystemExit(main())
