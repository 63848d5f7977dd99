"""`tandem profile`: what each detector takes on this machine, or on a worker."""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import statistics
import subprocess
import threading
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ..engine.errors import BadInput, Unavailable
from ..engine.machine import device
from .models import folders_of
from .workers import registry_folder

if TYPE_CHECKING:
    from ..engine.offload.profile import Measured, Profile
    from ..engine.offload.workers import WorkerEntry

SIZES_PX = (512, 640, 768, 1024)  # the sizes in use; powers of two alone would mislead
CALLS = 3
LIMIT_S = 900.0  # for one detector at all sizes
PACKAGES = ("numpy", "opencv-python-headless", "opencv-python", "onnxruntime", "torch")


def add_parser(commands: Any) -> None:
    about = "measure what detectors take, here or on a worker, to plan with"
    parser = commands.add_parser("profile", help=about, description=about)
    parser.add_argument("detectors", nargs="*", metavar="DETECTOR", help="default: all that run")
    parser.add_argument("--worker", metavar="ALIAS", help="measure this worker of the registry")
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=list(SIZES_PX), metavar="PX",
        help="shorter sides of the hints (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--name", help="what to call the device (default: my machine, or ALIAS)")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="default: your own copy, which plans use"
    )
    parser.add_argument("--user-directory", type=Path, metavar="DIR", help="ComfyUI's `user`")
    parser.add_argument(
        "--models", type=Path, action="append", metavar="DIR", help="as for `tandem models`"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from ..engine.offload.instance import LOCAL
    from ..engine.offload.profile_file import OwnProfiles, write_profile

    if not all(64 <= size <= 4096 for size in args.sizes):
        raise BadInput("--sizes", args.sizes, "choose 64 to 4096 pixels")
    target = args.output
    if target is None:
        target = OwnProfiles(registry_folder(args.user_directory)).path(args.worker or LOCAL)
    made = _of_worker(args) if args.worker else _of_this_machine(args)
    write_profile(target, made)
    print(f"{made.name}: {len(made.detectors)} detectors, {made.device}, {made.date}: {target}")
    return 0


def _show(rows: Sequence[Measured]) -> None:
    for row in rows:
        cpu = "-" if row.cpu_s is None else f"{row.cpu_s:.3f} s"
        memory = "-" if row.memory_bytes is None else f"{row.memory_bytes / 2**20:.0f} MB"
        print(
            f"{row.detector:20} {row.resolution:5} px  warm {row.warm_s:.3f} s  "
            f"cold {row.cold_s:.3f} s  CPU {cpu}  memory {memory}  hint {row.hint_bytes} bytes",
            flush=True,
        )


# --- this machine


def _of_this_machine(args: argparse.Namespace) -> Profile:
    import numpy as np

    from ..engine.conditions import Models
    from ..engine.offload.profile import Profile
    from .still_life import still_life

    try:
        folders = folders_of(args)
    except BadInput:  # a clone that lies in no ComfyUI: what needs no weights
        folders = []
    models = Models(folders)
    for name in args.detectors:
        if (why := models.obstacle(name)) is not None:
            raise why
    names = args.detectors or [name for name in models.detectors if not models.obstacle(name)]
    rows: list[Measured] = []
    with TemporaryDirectory() as place:
        photo = Path(place) / "photo.npy"
        np.save(photo, still_life())
        for name in names:
            found = _in_a_fresh_process(name, args.sizes, folders, photo)
            _show(found)
            rows += found
    return Profile(args.name or "my machine", device(), _today(), versions(), tuple(rows))


def _in_a_fresh_process(
    name: str, sizes: Sequence[int], folders: Sequence[Path], photo: Path
) -> list[Measured]:
    from ..engine.offload.profile import Measured
    from ..headless.child import module_command

    order = {
        "detector": name,
        "sizes": list(sizes),
        "folders": [str(folder) for folder in folders],
        "photo": str(photo),
    }
    command = module_command("comfyui_tandem.cli.profile_child")
    try:
        done = subprocess.run(  # noqa: S603
            [*command, json.dumps(order)], capture_output=True, text=True, timeout=LIMIT_S
        )
    except subprocess.TimeoutExpired as error:
        do = "choose smaller --sizes, or leave it out"
        raise Unavailable(f"measurement of {name}", f"over {LIMIT_S:.0f} s", do) from error
    if done.returncode:
        seen = (done.stderr.strip().splitlines() or ["no word"])[-1]
        raise Unavailable(f"measurement of {name}", seen, "mend or leave out the detector")
    return [Measured(**row) for row in json.loads(done.stdout.splitlines()[-1])]


def versions() -> dict[str, str]:
    """Of Python, this pack and the packages that detectors use, as far as they are here."""
    from ..engine.wire.protocol import VERSION

    found = {"tandem": VERSION, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _today() -> str:
    return datetime.date.today().isoformat()


# --- a worker


def _of_worker(args: argparse.Namespace) -> Profile:
    from ..engine.offload.client import WorkerClient
    from ..engine.offload.profile import Profile
    from ..engine.offload.workers import read_workers

    workers = read_workers(registry_folder(args.user_directory))
    if args.worker not in workers:
        do = f"choose one of {', '.join(workers) or '(none)'}"
        raise BadInput("--worker", args.worker, do)
    entry: WorkerEntry = workers[args.worker]
    client = WorkerClient(entry)
    try:
        can = client.capabilities()
        usable = [name for name, state in can.detectors.items() if state.usable]
        for name in args.detectors:
            if name not in usable:
                raise BadInput("detector", name, f"the worker has {', '.join(usable)}")
        rows: list[Measured] = []
        for name in args.detectors or usable:
            found = _asked(client, name, args.sizes)
            _show(found)
            rows += found
    finally:
        client.close()
    name = args.name or args.worker
    return Profile(name, "worker", _today(), {"tandem": can.version}, tuple(rows))


def _asked(client: Any, name: str, sizes: Sequence[int]) -> list[Measured]:
    """What a worker says of its calls; it does not tell processor time and memory."""
    from ..engine.conditions import ConditionRequest, Photo
    from ..engine.conditions.size import hint_size
    from ..engine.offload.profile import Measured
    from .still_life import still_life

    photo, never, load_s = Photo(still_life()), threading.Event(), 0.0
    rows: list[Measured] = []
    for size in sizes:
        request = ConditionRequest(name, size)
        answers = [
            client.preprocess(request, photo, cancelled=never, deadline_s=LIMIT_S)
            for _ in range(CALLS + 1)
        ]
        load_s = max(load_s, answers[0].load_s)
        warm = statistics.median(answer.compute_s for answer in answers[1:])
        height, width, _ = photo.pixels.shape
        tall, wide = hint_size(height, width, size)
        cold = max(warm, answers[0].compute_s) + load_s
        bytes_sent = answers[-1].down.bytes
        rows.append(Measured(name, size, tall * wide, warm, cold, None, None, bytes_sent))
    return rows
