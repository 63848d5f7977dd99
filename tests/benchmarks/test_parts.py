"""A measurement in parts: stopped runs go on, runs side by side share the work."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from comfyui_tandem.benchmarks.parts import Part, finish

pytestmark = pytest.mark.quick
WORK = """
import os, sys, time
from functools import partial
from pathlib import Path
from comfyui_tandem.benchmarks.parts import Part, finish

folder, pause, runs = Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
(folder / f"{os.getpid()}.up").touch()
while len(list(folder.glob("*.up"))) < runs:  # or the first to start does it all
    time.sleep(0.01)

def make(name, done):
    with (folder / "made").open("a") as file:
        file.write(f"{name}\\n")
    time.sleep(pause)
    return {"by": os.getpid(), "needed": sorted(done)}

parts = {name: Part(partial(make, name), "1") for name in "abcd"}
parts["last"] = Part(partial(make, "last"), "1", needs=("d",))
print(sorted(finish(parts, folder)))
"""


def made(folder: Path) -> list[str]:
    file = folder / "made"
    return file.read_text().split() if file.exists() else []


def start(folder: Path, pause: float, runs: int = 1) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WORK, str(folder), str(pause), str(runs)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_a_killed_run_goes_on_with_what_is_left(tmp_path: Path) -> None:
    first = start(tmp_path, 1.0)
    until = time.monotonic() + 60
    while len(made(tmp_path)) < 3 and time.monotonic() < until:
        time.sleep(0.02)
    first.kill()
    first.wait()
    finished = {path.stem for path in tmp_path.glob("*.json")}
    assert {"a", "b"} <= finished and "last" not in finished
    second = start(tmp_path, 0.0)
    assert second.communicate(timeout=60)[0].strip() == "['a', 'b', 'c', 'd', 'last']"
    again = made(tmp_path)[3:]
    assert not finished & set(again)
    assert set(again) | finished == {*"abcd", "last"}


def test_runs_side_by_side_share_the_work(tmp_path: Path) -> None:
    runs = [start(tmp_path, 0.4, 2) for _ in range(2)]
    said = {run.communicate(timeout=60)[0].strip() for run in runs}
    assert said == {"['a', 'b', 'c', 'd', 'last']"}
    assert sorted(made(tmp_path)) == ["a", "b", "c", "d", "last"]
    by = {json.loads(path.read_text())["result"]["by"] for path in tmp_path.glob("*.json")}
    assert len(by) == 2


def test_a_part_is_made_anew_when_what_it_is_made_from_changed(tmp_path: Path) -> None:
    calls: list[str] = []

    def make(name: str, done: Mapping[str, Any]) -> dict[str, Any]:
        calls.append(name)
        return {"of": [done[need]["of"] for need in done]}

    parts = {name: Part(partial(make, name), "old") for name in ("a", "b")}
    assert finish(parts, tmp_path) == finish(parts, tmp_path)
    assert calls == ["a", "b"]
    parts["b"] = Part(partial(make, "b"), "new", needs=("a",))
    finish(parts, tmp_path)
    assert calls == ["a", "b", "b"]


def test_without_a_folder_nothing_is_kept(tmp_path: Path) -> None:
    calls: list[int] = []
    parts = {"a": Part(lambda _: {"n": calls.append(1)}, "")}
    finish(parts, None)
    finish(parts, None)
    assert len(calls) == 2
    assert not [*tmp_path.iterdir()]
