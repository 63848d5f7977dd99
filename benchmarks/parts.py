"""A long measurement in parts that outlive the run: a run that was stopped goes on.

Several runs at once on one folder share the work: each takes a part that nobody works on, and
in the end all have all.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

Result = dict[str, Any]  # what JSON can hold
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Part:
    """`make` gets the results of `needs`; a result is good as long as `key` stays the same."""

    make: Callable[[Mapping[str, Result]], Result]
    key: str
    needs: tuple[str, ...] = ()


def finish(parts: Mapping[str, Part], folder: Path | None) -> dict[str, Result]:
    """The results of all parts, from `folder` or made now and kept there; None: kept nowhere."""
    done: dict[str, Result] = {}
    wait = False
    while left := [name for name in parts if name not in done]:
        ready = [name for name in left if all(need in done for need in parts[name].needs)]
        before = len(done)
        for name in ready:
            found = _take(name, parts[name], done, folder, wait)
            if found is not None:
                done[name], wait = found, False
        wait = len(done) == before  # all are in the hands of others
    return done


def _take(
    name: str, part: Part, done: Mapping[str, Result], folder: Path | None, wait: bool
) -> Result | None:
    """The part's result; None: another run is at it, and we are not to wait."""
    if folder is None:
        return part.make(done)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    try:
        with FileLock(f"{path}.lock", timeout=-1 if wait else 0):
            kept = json.loads(path.read_text("utf-8")) if path.exists() else {}
            if kept.get("key") == part.key:
                return kept["result"]
            began = time.perf_counter()
            result = part.make(done)
            log.info("%s: %.0f s", name, time.perf_counter() - began)
            partial = path.with_suffix(".partial")
            partial.write_text(json.dumps({"key": part.key, "result": result}), "utf-8")
            partial.replace(path)
            return result
    except Timeout:
        return None
