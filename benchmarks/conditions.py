"""Every detector makes the same hint here and on a worker, and its network is loaded once.

All that can run: formulas; networks whose weights lie in ../shared/data; made graphs with the names
and shapes of published ONNX files; the real architectures of controlnet-aux with random weights,
the large ones in a full run alone. The worker is a real process on loopback. CPU seconds are a
hint's: here the detector's, there all that the worker's processes spend on it, its transfer too.
Both sides have their network loaded.
"""

from __future__ import annotations

import secrets
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from ..engine.conditions import DETECTORS, ConditionRequest, Models, Photo, detect
from ..engine.conditions.reference.package import reference_module
from ..engine.conditions.view import Levels
from ..engine.offload.client import WorkerClient
from ..engine.offload.workers import WorkerEntry
from ..headless.child import Child
from ..headless.server import free_port
from ..headless.worker import WorkerProcess
from .made_graphs import write_published
from .parts import Part, Result, finish
from .random_weights import LARGE, SMALL, write_weights
from .worker import picture

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
TOKEN_VARIABLE = "TANDEM_TOKEN"  # noqa: S105 - the name of the variable
RESOLUTION = 512
DEADLINE_S = 1200.0  # ZoeDepth on a busy machine
NEVER = threading.Event()
IMPORT = (
    "import time; began = time.perf_counter(); import comfyui_tandem.engine.conditions, sys; "
    "took = time.perf_counter() - began; assert 'torch' not in sys.modules; print(took)"
)


@dataclass(frozen=True)
class Settings:
    """How often each detector runs on each photo; those that take seconds, once on few or one."""

    rounds: int = 5
    photos: int = 6
    heavy_photos: int = 2
    heavy_px: int = RESOLUTION
    large: bool = True


QUICK = Settings(rounds=1, photos=2, heavy_photos=1, heavy_px=64, large=False)
# Without the data beside the repository there are fewer detectors, and nothing else to compare.
EXACT = ("worker_equal_local", *(("detectors",) if DATA.is_dir() else ()))


@dataclass(frozen=True)
class Bench:
    """Both sides; the worker has the photos."""

    models: Models
    worker: WorkerProcess
    client: WorkerClient
    photo_bytes: float  # mean


def measure(settings: Settings, keep: Path | None = None) -> dict[str, float]:
    """All figures, from parts kept in `keep`; both sides start when the first part needs them."""
    real = [DATA / "onnx"] if (DATA / "onnx").is_dir() else []
    with tempfile.TemporaryDirectory() as made, ExitStack() as sides:
        _write(Path(made), [*SMALL, *(LARGE if settings.large else ())])
        folders = [*real, Path(made)]
        bench = cache(lambda: sides.enter_context(_both_sides(folders)))
        found = finish(parts(settings, real, folders, bench), keep)
        names = _able(folders)
    figures = {key: value for part in found.values() for key, value in part.items()}
    equal = [figures.pop(f"{name}_equal") for name in names]
    large = len(_large(names))
    figures |= {"detectors_large": float(large)} if settings.large else {}
    return figures | {
        "detectors": float(len(names) - large),
        "worker_equal_local": float(all(equal)),
    }


def parts(
    settings: Settings, real: list[Path], folders: list[Path], bench: Callable[[], Bench]
) -> dict[str, Part]:
    """One for each detector, and what is measured without the worker."""
    key = f"{_sources_crc():08x} {settings}"
    makers: dict[str, Callable[[], Result]] = {
        "import": lambda: {"import_seconds_without_torch": _import_s()},
        "reloads": lambda: _reloads(real, settings),
        "photos": lambda: {"photo_bytes": bench().photo_bytes},
        **{name: partial(_both, name, bench, settings) for name in _able(folders)},
    }
    return {name: Part(lambda _, make=make: make(), key) for name, make in makers.items()}


def _sources_crc() -> int:
    """What a detector gives, here and there, follows from these files."""
    root, found = Path(__file__).parents[1], 0
    for room in ("engine/conditions", "engine/wire", "edge_worker"):
        for path in sorted((root / room).rglob("*.py")):
            found = zlib.crc32(path.read_bytes(), found)
    return found


def _write(folder: Path, random: list[str]) -> None:
    write_published(folder)
    for name in random:
        write_weights(name, folder, reference_module)


def _able(folders: list[Path]) -> list[str]:
    found = Models(folders)
    return [name for name in DETECTORS if found.obstacle(name) is None]


def _large(names: list[str]) -> list[str]:
    """Those that run on the files of the large networks."""
    files = {DETECTORS[name].files for name in LARGE}
    return [name for name in names if DETECTORS[name].files in files]


def photos() -> list[Photo]:
    """One that is made here, then real ones."""
    files = sorted((DATA / "photos").glob("*.png"))
    return [picture(), *(Photo(np.asarray(Image.open(one).convert("RGB"))) for one in files)]


def _both(name: str, both: Callable[[], Bench], settings: Settings) -> Result:
    """A detector's figures, and whether all its hints were equal, bit by bit."""
    bench, entry = both(), DETECTORS[name]
    heavy, large = entry.cost == "heavy", bool(_large([name]))
    shown = photos()[: 1 if large else settings.heavy_photos if heavy else settings.photos]
    rounds = 1 if heavy else settings.rounds
    px = settings.heavy_px if heavy else RESOLUTION
    at = {param.name for param in entry.params} & {"detail"}  # Anyline works at a size of its own
    request = ConditionRequest(name, px, dict.fromkeys(at, px) if px < RESOLUTION else {})
    equal, down = True, 0
    small = ConditionRequest(name, 64, dict.fromkeys(at, 64))
    detect(small, shown[0], bench.models)  # both sides load
    _there(bench, small, shown[0])
    here_s, before = 0.0, worker_cpu_s(bench.worker)
    for photo in shown * rounds:
        began = time.process_time()
        here = detect(request, photo, bench.models)
        here_s += time.process_time() - began
        there, size = _there(bench, request, photo)
        equal &= np.array_equal(here, there)
        down += size
    count = len(shown) * rounds
    return {
        f"{name}_cpu_s": round(here_s / count, 5),
        f"{name}_worker_cpu_s": round((worker_cpu_s(bench.worker) - before) / count, 5),
        f"{name}_hint_bytes": round(down / count),
        f"{name}_equal": equal,
    }


def _there(bench: Bench, request: ConditionRequest, photo: Photo) -> tuple[Levels, int]:
    """The worker's hint and its bytes."""
    answer = bench.client.preprocess(request, photo, cancelled=NEVER, deadline_s=DEADLINE_S)
    return answer.picture, answer.down.bytes


def worker_cpu_s(worker: WorkerProcess) -> float:
    """Of the worker and its children, in whole ticks of 10 ms: take it over many calls."""
    root = psutil.Process(worker.child.pid)
    times = [one.cpu_times() for one in (root, *root.children(recursive=True))]
    return sum(one.user + one.system for one in times)


def _reloads(folders: list[Path], settings: Settings) -> dict[str, float]:
    """How many times longer a hint takes when its network is loaded for it; the median one."""
    photo = picture()
    ratios: list[float] = []
    for name in (name for name in _able(folders) if DETECTORS[name].files):
        request, kept = ConditionRequest(name, RESOLUTION), Models(folders)
        detect(request, photo, kept)
        fresh_s: list[float] = []
        kept_s: list[float] = []
        for _ in range(max(2, settings.rounds)):
            fresh_s.append(_timed(lambda r=request: detect(r, photo, Models(folders))))
            kept_s.append(_timed(lambda r=request, k=kept: detect(r, photo, k)))
        assert kept.shelf.loads == 1
        ratios.append(statistics.median(fresh_s) / statistics.median(kept_s))
    return {"reload_vs_cached_ratio": statistics.median(ratios)} if ratios else {}


def _timed(call: Callable[[], object]) -> float:
    began = time.process_time()
    call()
    return time.process_time() - began


def _import_s() -> float:
    """Median of three fresh processes."""
    command = [sys.executable, "-c", IMPORT]
    took: list[float] = []
    for _ in range(3):
        done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
        took.append(float(done.stdout))
    return statistics.median(took)


@contextmanager
def _both_sides(folders: list[Path]) -> Generator[Bench]:
    shown = photos()
    with worker_with(folders, memory_gib=8) as worker, client_of(worker.entry) as client:
        sent = [client.upload(photo, cancelled=NEVER, deadline_s=DEADLINE_S) for photo in shown]
        size = sum(one.bytes for one in sent if one is not None) / len(shown)
        yield Bench(Models(folders), worker, client, size)


@contextmanager
def worker_with(folders: list[Path], memory_gib: int = 4) -> Generator[WorkerProcess]:
    port, token = free_port(), secrets.token_urlsafe(32)
    command = [sys.executable, "-m", "comfyui_tandem.edge_worker", "--port", str(port)]
    command += ["--token-env", TOKEN_VARIABLE, "--memory-gib", str(memory_gib)]
    command += [part for folder in folders for part in ("--models", str(folder))]
    with tempfile.TemporaryDirectory() as folder:
        child = Child(command, log=Path(folder, "worker.log"), env={TOKEN_VARIABLE: token})
        entry = WorkerEntry("bench", f"http://127.0.0.1:{port}", token=token)
        with WorkerProcess(child, entry) as process:
            process.wait_ready()
            yield process


@contextmanager
def client_of(entry: WorkerEntry) -> Generator[WorkerClient]:
    client = WorkerClient(entry)
    try:
        yield client
    finally:
        client.close()
