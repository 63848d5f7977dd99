"""`tandem export`: a compact model as ONNX files, for boxes without a GPU."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..engine.errors import BadInput
from ..engine.export import FOLDER
from ..engine.machine import device
from ..training.comfyui import open_comfyui

if TYPE_CHECKING:
    from ..engine.export.manifest import Part

ROOT = Path(__file__).resolve().parents[1]
FAMILY = ROOT / "demo_models"
DEMO_PX, FULL_PX = 128, 512
SAYS_NOTHING = "diffusion_pytorch_model"  # how diffusers begins the name of every file


def add_parser(commands: Any) -> None:
    about = "write a compact model as ONNX files, which run on a CPU by onnxruntime"
    parser = commands.add_parser("export", help=about, description=about, allow_abbrev=False)
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="demo, demo-NAME, the folder of a pipeline in diffusers' form, or a safetensors file",
    )
    parser.add_argument(
        "--control", action="append", default=[], metavar="FILE",
        help="a ControlNet too: its file, or the name of one of the demo's; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--decoder", metavar="own|FILE", help="the model's own decoder too, or a tiny one's file"
    )
    parser.add_argument(
        "--int8", action="store_true", help="weights in 8 bits: a quarter of the size"
    )
    parser.add_argument(
        "--px", type=int, metavar="N",
        help=f"side of the pictures to compare and time with ({FULL_PX}; demo: {DEMO_PX})",
    )  # fmt: skip
    parser.add_argument(
        "--output", type=Path, metavar="DIR",
        help=f"the new folder (models/{FOLDER}/NAME of the ComfyUI this pack lies in)",
    )  # fmt: skip
    parser.add_argument(
        "--comfyui", type=Path, metavar="DIR",
        help="ComfyUI, whose code opens the model (else COMFYUI_DIR, or around this pack)",
    )  # fmt: skip
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    px = args.px or (DEMO_PX if args.model.startswith("demo") else FULL_PX)
    if not 128 <= px <= 2048 or px % 64:
        raise BadInput("--px", px, "give a multiple of 64 from 128 to 2048")
    folder, nets = folder_of(args), control_files(args.control)
    kept = open_comfyui(args.comfyui)
    _export(args, nets, folder, px)
    del kept
    return 0


def folder_of(args: argparse.Namespace) -> Path:
    """Where to write.

    Raises:
        BadInput: it is not told, and the pack lies in no ComfyUI.
    """
    if args.output is not None:
        return args.output.resolve()
    if ROOT.parent.name != "custom_nodes":
        raise BadInput("--output", None, "name a folder: this pack lies in no ComfyUI")
    model = Path(args.model).resolve()
    own = model.stem if model.is_file() else model.name  # a folder's may have a dot
    name = f"{own}-{'int8' if args.int8 else 'fp32'}"
    return ROOT.parents[1] / "models" / FOLDER / name


def control_files(given: Iterable[str]) -> dict[str, str]:
    """What was given, by the names of their files to be.

    Raises:
        BadInput: two of one name.
    """
    found: dict[str, str] = {}
    for file in given:
        path = Path(file)
        name = path.resolve().parent.name if path.stem.startswith(SAYS_NOTHING) else path.stem
        if name in found:
            do = f"rename one: both would be written to {name}.onnx"
            raise BadInput("--control", f"{found[name]} and {file}", do)
        found[name] = file
    return found


def _export(args: argparse.Namespace, files: dict[str, str], folder: Path, px: int) -> None:
    from ..engine.export.folder import Wanted, export_folder
    from ..engine.export.source import open_control_net, open_decoder, open_source

    source = open_source(args.model, FAMILY)
    nets = {name: open_control_net(file, FAMILY) for name, file in files.items()}
    vae = open_decoder(args.decoder, source) if args.decoder else None
    wanted = Wanted(source, "int8" if args.int8 else "fp32", px, device(), nets, vae)
    manifest = export_folder(wanted, folder, _say)
    size = sum(part.bytes for part in manifest.parts)
    print(f"{len(manifest.parts)} networks, {size / 1e6:.1f} MB, {px} px, {manifest.machine}")
    print(f"written to {folder}")


def _say(precision: str, part: Part) -> None:
    from ..engine.export.measure import told

    print(
        f"{part.file}: {part.bytes / 1e6:.1f} MB; off PyTorch's by at most "
        f"{part.max_difference:.2g}, {part.relative_difference:.2g} relative; "
        f"{told(part.seconds, precision)}",
        flush=True,
    )
