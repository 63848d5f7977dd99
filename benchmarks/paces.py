"""Detectors as slow as one likes: the real one runs, then sleep fills up the time.

Two lanes on one machine of two cores would wait for each other if both computed; sleeping they
do not. Everything else is real: photos and hints, requests, codecs, the link.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

FILE = "paces.txt"  # in the worker's model folder; not .json, which is for detectors
Paces = Mapping[str, float]


def read_paces(file: Path) -> Paces:
    return json.loads(file.read_text("utf-8"))


def write_paces(folder: Path, paces: Paces) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE).write_text(json.dumps(dict(paces)), "utf-8")


def paced(detect: Callable[..., Any], paces: Paces) -> Callable[..., Any]:
    """The same detector, no quicker than its pace in seconds."""

    def slow(request: Any, *given: Any) -> Any:
        ends = time.monotonic() + paces.get(request.detector, 0.0)
        made = detect(request, *given)
        time.sleep(max(0.0, ends - time.monotonic()))
        return made

    return slow
