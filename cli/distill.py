"""`tandem distill`: a compact, few-step model from your own SD1.5-class model and pictures."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..engine.errors import BadInput, Unavailable

if TYPE_CHECKING:
    from . import Commands

STAGES = {
    "pairs": "encode pictures and captions, once",
    "student": "feature distillation to a compact layout (BK-SDM)",
    "lcm": "that student for one to eight steps (LCM)",
}
PHASES: dict[str, dict[str, float]] = {  # what the papers used; batch times accumulate is theirs
    "student": {"steps": 50_000, "rate": 5e-5, "batch": 64, "accumulate": 4},
    "lcm": {"steps": 5_000, "rate": 2e-5, "batch": 24, "accumulate": 1},
}
TIMES = """\
what the papers took on an A100, not measured by us:
  student   Base, batch 256, 50000 steps, 212776 pairs: about 300 h and 53 GB; batch 64: 60 h and
            28 GB (BK-SDM, arXiv 2305.15798)
  lcm       4000 steps of batch 128 at 768 px, 650000 pairs: about 32 h (LCM, arXiv 2310.04378);
            with a fixed guidance, batch 24: within 5000 steps (PixArt-delta, arXiv 2401.05252)
"""


def add_parser(commands: Commands) -> None:
    about = "distils a compact, few-step model from an SD1.5-class one, on a GPU"
    stages = "".join(f"  {name:10}{what}\n" for name, what in STAGES.items())
    parser = commands.add_parser(
        "distill",
        help=about,
        description=about,
        allow_abbrev=False,
        epilog=f"stages, in order:\n{stages}\n{TIMES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("stage", choices=STAGES, metavar="STAGE")
    parser.add_argument(
        "--model", type=Path, required=True, metavar="DIR", help="the teacher, in diffusers' form"
    )
    parser.add_argument(
        "--folder", type=Path, required=True, metavar="DIR", help="where all that is made lies"
    )
    parser.add_argument(
        "--pairs", type=Path, metavar="DIR", help="pictures, a .txt with the caption beside each"
    )
    parser.add_argument("--px", type=int, default=512, help="side of the pictures (512)")
    parser.add_argument("--layout", choices=("base", "small", "tiny"), default="base")
    for name, kind, what in (
        ("steps", int, "of the optimiser, with those of earlier calls"),
        ("rate", float, "learning rate"),
        ("batch", int, "pairs at once"),
        ("accumulate", int, "batches a step"),
    ):
        usual = ", ".join(f"{values[name]:g}" for values in PHASES.values())
        parser.add_argument(f"--{name}", type=kind, metavar="N", help=f"{what} ({usual})")
    parser.add_argument("--precision", choices=("fp32", "fp16", "bf16"), default="fp16")
    parser.add_argument(
        "--checkpointing", action="store_true", help="less memory, more time: recompute features"
    )
    parser.add_argument(
        "--guidance", type=float, default=7.5, metavar="G", help="built into lcm's weights (7.5)"
    )
    parser.add_argument("--device", default="auto", help="auto: cuda where it is, else cpu (auto)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    _check(options)
    try:
        from ..training.train_pretrained import Course, distill
    except ModuleNotFoundError as error:
        do = 'pip install ".[train]" in the pack\'s folder, with the Python that runs ComfyUI'
        raise Unavailable("package", error.name, do) from error
    usual = PHASES.get(options.stage, PHASES["student"])
    course = Course(
        options.layout,
        steps=options.steps or int(usual["steps"]),
        rate=options.rate or usual["rate"],
        batch=options.batch or int(usual["batch"]),
        accumulate=options.accumulate or int(usual["accumulate"]),
        precision=options.precision,
        checkpointing=options.checkpointing,
        guidance=options.guidance,
    )
    where = options.folder, options.device
    made = distill(options.stage, options.model, *where, course, options.pairs, options.px)
    if options.stage == "pairs":
        print(f"{made}: ready for the stages student and lcm")
    else:
        print(f"{made}: copy it to models/diffusion_models, open it in Load Compact Model")
    return 0


def _check(options: argparse.Namespace) -> None:
    if options.stage == "pairs" and options.pairs is None:
        raise BadInput("--pairs", None, "say where pictures and captions lie")
    if options.px < 64 or options.px % 64:
        raise BadInput("--px", options.px, "give a multiple of 64")
    for name in ("steps", "rate", "batch", "accumulate"):
        value = getattr(options, name)
        if value is not None and not value > 0:
            raise BadInput(f"--{name}", value, "give more than 0")
    if not options.guidance >= 1:
        raise BadInput("--guidance", options.guidance, "give 1 or more")
