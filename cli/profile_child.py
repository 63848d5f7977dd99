"""Runs in a process of its own for `tandem profile`: one detector, from cold, at each size."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np

from ..engine.conditions import ConditionRequest, Models, Photo, detect, use_models
from ..engine.conditions.size import hint_size
from ..engine.offload.profile import Measured
from ..engine.wire.codecs import Levels, encode_hint
from .profile import CALLS

STATUS, PEAK = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def measure(name: str, sizes: Sequence[int], photo: Photo) -> list[Measured]:
    """The first call is the cold one; what it took longer is added at the other sizes."""
    rows: list[Measured] = []
    before, load_s = _reset_peak_bytes(), None
    for size in sizes:
        request = ConditionRequest(name, size)
        times: list[float] = []
        cpu: list[float] = []
        pictures: list[Levels] = []
        for _ in range(CALLS + 2):
            began, used = time.perf_counter(), time.process_time()
            pictures.append(detect(request, photo))
            times.append(time.perf_counter() - began)
            cpu.append(time.process_time() - used)
        warm = statistics.median(times[-CALLS:])
        if load_s is None:
            load_s = max(0.0, times[0] - warm)
        peak = _peak_bytes()
        grown = None if before is None or peak is None else max(0, peak - before)
        height, width, _ = photo.pixels.shape
        tall, wide = hint_size(height, width, size)
        cpu_s, hint = statistics.median(cpu[-CALLS:]), len(encode_hint(pictures[-1]))
        rows.append(Measured(name, size, tall * wide, warm, warm + load_s, cpu_s, grown, hint))
    return rows


def _reset_peak_bytes() -> int | None:
    with suppress(OSError):  # not Linux, or not allowed: then the peak so far stands
        PEAK.write_text("5")
    return _peak_bytes()


def _peak_bytes() -> int | None:
    """The most memory that this process had since; None where the system does not say."""
    try:
        rows = STATUS.read_text().splitlines()
    except OSError:
        return None
    sizes = [row.split()[1] for row in rows if row.startswith("VmHWM:")]
    return 1024 * int(sizes[0]) if sizes else None


def main() -> int:
    order = json.loads(sys.argv[1])
    use_models(Models([Path(folder) for folder in order["folders"]]))
    photo = Photo(np.load(order["photo"]))
    rows = measure(order["detector"], order["sizes"], photo)
    print(json.dumps([asdict(row) for row in rows]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
