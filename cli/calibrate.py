"""`tandem calibrate scales`: learns from your own models which scales are best."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..engine.errors import BadInput
from ..engine.scaling import FOLDER
from .workers import registry_folder

if TYPE_CHECKING:
    from ..engine.scaling.calibration import Calibrated, Case

DEMO_SETS = 60
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")


def add_parser(commands: Any) -> None:
    about = "learn from pictures that are drawn with your own models"
    parser = commands.add_parser("calibrate", help=about, description=about)
    what = parser.add_subparsers(title="what to learn", required=True, metavar="scales")
    about = "which share of its strength each condition shall have, for Estimate Scales"
    scales = what.add_parser(
        "scales", help=about, description=f"{about}. Draws some hundred pictures: hours without a "
        "GPU. Hints are made of your photos; a picture is good if the detectors find them again.",
    )  # fmt: skip
    scales.add_argument("name", help="what to call it in Estimate Scales")
    scales.add_argument("--checkpoint", type=Path, metavar="FILE", help="UNet, CLIP and VAE")
    scales.add_argument(
        "--controlnet", action="append", default=[], metavar="DETECTOR=FILE",
        help="a detector and the ControlNet that takes its hints; give two or more",
    )  # fmt: skip
    scales.add_argument("--photos", type=Path, metavar="DIR", help="ten or more")
    scales.add_argument("--prompt", default="", help="what all of them show")
    scales.add_argument("--negative", default="", help="what they do not show")
    scales.add_argument("--resolution", type=int, default=512, metavar="PX", help="(%(default)s)")
    scales.add_argument("--cfg", type=float, default=7.0, metavar="N", help="(%(default)s)")
    scales.add_argument("--sampler", default="dpmpp_2m", help="(%(default)s)")
    scales.add_argument("--scheduler", default="normal", help="(%(default)s)")
    scales.add_argument("--demo", action="store_true", help="of the demo family, on drawn scenes")
    scales.add_argument(
        "--sets", type=int, metavar="N", help="at most (those of all photos; 60 of drawn scenes)"
    )
    scales.add_argument("--steps", type=int, default=8, metavar="N", help="(%(default)s)")
    scales.add_argument("--tries", type=int, default=12, metavar="N", help="a set (%(default)s)")
    scales.add_argument("--comfyui", type=Path, metavar="DIR", help="else COMFYUI_DIR's")
    scales.add_argument("--user-directory", type=Path, metavar="DIR", help="ComfyUI's `user`")
    scales.add_argument("--output", type=Path, metavar="FILE", help="default: where the node looks")
    scales.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    if not args.name or args.name.startswith(".") or not LETTERS.issuperset(args.name):
        raise BadInput("name", args.name, "use letters, digits, - _ and .")
    seen = (args.sets, args.steps, args.tries)
    if any(number is not None and number < 1 for number in seen):
        raise BadInput("(--sets, --steps, --tries)", seen, "give 1 or more each")
    target = args.output
    if target is None:
        target = registry_folder(args.user_directory) / FOLDER / f"{args.name}.json"
    kept = _open(args)
    from ..engine.scaling.calibration import calibrated
    from ..engine.scaling.learned_file import write_learned
    from ..engine.scaling.rule import Rule

    made_of = "the demo family" if args.demo else args.checkpoint.name
    cases = _demo(args) if args.demo else _own(args)
    found = calibrated(cases, Rule(), args.tries, lambda line: print(line, flush=True))
    write_learned(target, _form(found, made_of))
    better = "better than" if found.is_better else "no better than"
    print(
        f"on {found.held_out_sets} sets of {found.held_out_photos} photos that it was not fitted "
        f"to it scores {found.learned_score:.3f}, the rule {found.rule_score:.3f}"
        f"{_interval(found.gain)}: {better} the rule"
    )
    print(f"{found.conditions} conditions of {found.sets} sets: {target}")
    del kept
    return 0


def _interval(gain: tuple[float, float] | None) -> str:
    return "" if gain is None else f" (95 % interval of the gain {gain[0]:+.3f} to {gain[1]:+.3f})"


def _form(found: Calibrated, made_of: str) -> Any:
    from ..engine.scaling.learned_file import LearnedForm

    learned = found.learned
    return LearnedForm(
        made_of=made_of,
        mean=learned.mean,
        spread=learned.spread,
        weights=learned.weights,
        bias=learned.bias,
        sets=found.sets,
        conditions=found.conditions,
        held_out_sets=found.held_out_sets,
        rule_score=found.rule_score,
        learned_score=found.learned_score,
        held_out_photos=found.held_out_photos,
        gain=found.gain,
    )


def _open(args: argparse.Namespace) -> Any:
    """ComfyUI in this process; the benchmarks' studio opens its own."""
    if args.demo:
        return None
    if args.checkpoint is None or args.photos is None:
        do = "give both, and --controlnet DETECTOR=FILE twice or more; or --demo"
        raise BadInput("--checkpoint and --photos", (args.checkpoint, args.photos), do)
    from ..training.comfyui import open_comfyui

    return open_comfyui(args.comfyui, gpu=True)


def _demo(args: argparse.Namespace) -> Iterator[Case]:
    from ..training.demo_trials import demo_trials

    return demo_trials(args.sets or DEMO_SETS, args.steps)


def _own(args: argparse.Namespace) -> Iterator[Case]:
    from itertools import islice

    from ..engine.scaling.trial import Sampling
    from ..engine.scaling.trial_sets import trials_of_photos
    from ..training.own_models import open_models

    nets = nets_of(args.controlnet)
    paths = photos_of(args.photos)
    used = paths if args.sets is None else paths[: photos_for(args.sets, len(nets))]
    if len(used) < len(paths):
        print(f"{args.sets} sets: {len(used)} of {len(paths)} photos are used", flush=True)
    photos = [_photo(path) for path in used]
    model, vae, sides, opened = open_models(args.checkpoint, nets, (args.prompt, args.negative))
    sampling = Sampling(model, vae, sides, args.steps, args.cfg, args.sampler, args.scheduler)
    return islice(trials_of_photos(sampling, opened, photos, args.resolution), args.sets)


def nets_of(given: Sequence[str]) -> dict[str, Path]:
    """DETECTOR=FILE of each.

    Raises:
        BadInput: another form, an unknown detector, or one that cannot run here.
    """
    from ..engine.conditions import obstacle

    found: dict[str, Path] = {}
    for text in given:
        name, equals, file = text.partition("=")
        if not equals or not file:
            raise BadInput("--controlnet", text, "write DETECTOR=FILE")
        if (why := obstacle(name)) is not None:
            raise why
        found[name] = Path(file)
    return found


def photos_for(sets: int, detectors: int) -> int:
    """How many photos so many sets are made of (`engine.scaling.trial_sets`)."""
    from ..engine.scaling.trial_sets import sets_of_photo

    return max(2, math.ceil(sets / sets_of_photo(detectors)))


def photos_of(folder: Path) -> list[Path]:
    """
    Raises:
        BadInput: there are none.
    """
    found = sorted(path for path in folder.glob("*") if path.suffix.lower() in PICTURES)
    if not found:
        raise BadInput("--photos", str(folder), f"name a folder with {', '.join(PICTURES)}")
    return found


def _photo(path: Path) -> Any:
    import numpy as np
    from PIL import Image, ImageOps

    from ..engine.conditions import Photo

    with Image.open(path) as image:
        return Photo(np.asarray(ImageOps.exif_transpose(image).convert("RGB")))
