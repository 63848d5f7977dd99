"""tandem train: remakes the demo model family, stage by stage."""

from __future__ import annotations

import argparse
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from ..engine.errors import BadInput
from ..training.stages import STAGES, run_stage

if TYPE_CHECKING:
    from . import Commands

EVERY = "all"


def add_parser(commands: Commands) -> None:
    about = "trains the demo model family, a stage at a time, from weights or afresh"
    stages = "\n".join(
        f"{'*' if stage.extra else ' '} {name:22}{stage.about}"
        + (f" ({stage.minutes:g} min)" if stage.minutes else "")
        for name, stage in STAGES.items()
    )
    parser = commands.add_parser(
        "train",
        help=about,
        description=about,
        allow_abbrev=False,
        epilog="stages in order, with the CPU minutes that they take by default; * not in `all`:\n"
        + stages,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("stage", choices=[*STAGES, EVERY], metavar="STAGE")
    parser.add_argument(
        "--folder", type=Path, metavar="DIR", help="where scenes, weights and logs lie"
    )
    parser.add_argument("--minutes", type=float, metavar="N", help="CPU minutes for this call")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, mps ... (auto)")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="CPU threads (1)")
    parser.add_argument(
        "--smoke", action="store_true", help="two steps on few scenes: does it run?"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    if options.minutes is not None and not options.minutes > 0:
        raise BadInput("--minutes", options.minutes, "give more than 0")
    if options.folder is None and not options.smoke:
        raise BadInput("--folder", None, "say where scenes, weights and logs shall lie")
    family = [name for name, stage in STAGES.items() if not stage.extra]
    names = family if options.stage == EVERY else [options.stage]
    given = nullcontext(options.folder) if options.folder else tempfile.TemporaryDirectory()
    with given as folder:
        for name in names:
            print(f"{name}: {STAGES[name].about}", flush=True)
            run_stage(
                name,
                Path(folder),
                minutes=options.minutes,
                device=options.device,
                threads=options.threads,
                smoke=options.smoke,
            )
    return 0
