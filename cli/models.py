"""`tandem models list|download|verify`: the weights of the detectors, for ComfyUI or a worker."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..engine.commands import command
from ..engine.errors import BadInput
from .comfy_folders import FOLDER, detector_folders

if TYPE_CHECKING:
    from ..engine.conditions import Detector, Models

ROOT = Path(__file__).resolve().parents[1]
TO_FETCH = f"name at least one detector; `{command('models list')}` shows them"


def add_parser(commands: Any) -> None:
    about = "the weights that detectors need"
    parser = commands.add_parser("models", help=about, description=about)
    what = parser.add_subparsers(title="what to do", required=True, metavar="list|download|verify")
    _command(what, "list", "every detector, what it needs and whether that is here", run_list)
    _command(what, "download", "get the files of detectors from the hub", run_download)
    _command(what, "verify", "read the files that are here and compare their hashes", run_verify)


def _command(commands: Any, name: str, about: str, run: Any) -> None:
    parser = commands.add_parser(name, help=about, description=about)
    parser.add_argument("detectors", nargs="*", metavar="DETECTOR", help="default: all of them")
    parser.add_argument(
        "--models",
        type=Path,
        action="append",
        metavar="DIR",
        help=f"model folder (default: those of {FOLDER} in the extra_model_paths.yaml of the "
        f"ComfyUI this pack lies in, and its models/{FOLDER}); downloads go into the first",
    )
    parser.set_defaults(run=run)


def folders_of(args: argparse.Namespace) -> list[Path]:
    """The model folders to use.

    Raises:
        BadInput: none is named and the pack lies in no ComfyUI.
    """
    if args.models:
        return [folder.resolve() for folder in args.models]
    if ROOT.parent.name == "custom_nodes":
        return detector_folders(ROOT.parents[1])
    raise BadInput("--models", None, "name a model folder: this pack lies in no ComfyUI")


def _chosen(args: argparse.Namespace, models: Models) -> list[Detector]:
    return [models.find(name) for name in args.detectors] or list(models.detectors.values())


def run_list(args: argparse.Namespace) -> int:
    from ..engine.conditions import Models

    models = Models(folders_of(args))
    print(f"Model folders: {', '.join(map(str, models.folders))}")
    for detector in _chosen(args, models):
        trouble = models.obstacle(detector.name)
        state = "ready" if trouble is None else "missing"
        limit = "" if detector.commercial else ", NON-COMMERCIAL"
        print(f"{detector.name:20} {state:8} {detector.cost:7} {detector.licence}{limit}")
        if trouble is not None:
            print(f"{'':20} {trouble}")
    return 0


def run_download(args: argparse.Namespace) -> int:
    from ..engine.conditions import Models
    from ..engine.conditions.hub import download

    if not args.detectors:
        raise BadInput("detectors", "none", TO_FETCH)
    folders = folders_of(args)
    for detector in _chosen(args, Models(folders)):
        if not detector.commercial:
            print(f"{detector.name}: {detector.licence}. Not for commercial use.")
        for path in download(detector, folders[0], folders[1:]):
            print(f"{detector.name}: {path}")
        if not detector.files:
            print(f"{detector.name}: needs no weights")
    return 0


def run_verify(args: argparse.Namespace) -> int:
    from ..engine.conditions import Models
    from ..engine.conditions.hub import check_all

    folders = folders_of(args)
    broken = 0
    for detector in _chosen(args, Models(folders)):
        for found in check_all(detector, folders):
            if found.verdict == "missing" and not args.detectors:
                continue
            bad = found.verdict == "broken" or found.verdict == "missing"
            broken += bad
            print(f"{detector.name}: {found.file.name}: {found.verdict}, {found.why}")
    return 1 if broken else 0
