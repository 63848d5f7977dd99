"""The demo command as a person runs it, and its end by signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from comfyui_tandem.cli.demo_queue import PINNED
from comfyui_tandem.cli.demo_run import WORK
from comfyui_tandem.engine.offload.payload_form import PlanForm
from comfyui_tandem.engine.offload.workers import read_workers
from comfyui_tandem.headless.worker import registry
from PIL import Image

posix = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
COMMAND = [sys.executable, "-m", "comfyui_tandem.cli", "demo"]


MARK = "TANDEM_TEST_DEMO"  # inherited by all that the demo starts
EDGES, LINES = "0:canny", "1:lineart_standard"


@contextmanager
def demo(comfyui_dir: Path, folder: Path, *options: str) -> Generator[subprocess.Popen[str]]:
    command = [*COMMAND, "--comfyui", str(comfyui_dir), *options]
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, MARK: str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def marked(folder: Path) -> list[psutil.Process]:
    """Processes of the demo that was started for this folder, and of what it started."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(folder) and process.status() != "zombie":
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def running(folder: Path, module: str) -> psutil.Process:
    """Waits until the demo runs this module in a process of its own."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        for process in marked(folder):
            with suppress(psutil.NoSuchProcess):
                if module in process.cmdline():
                    return process
        time.sleep(0.05)
    raise AssertionError(f"no {module}: {marked(folder)}")


def hear(process: subprocess.Popen[str], words: str) -> None:
    """Reads what it tells until a line has these words."""
    told: list[str] = []
    for line in process.stdout or ():
        told.append(line)
        if words in line:
            return
    raise AssertionError(f"it never said {words!r}: {told}")


def all_gone(folder: Path) -> bool:
    psutil.wait_procs(marked(folder), timeout=60)
    return marked(folder) == []


def test_demo_leaves_pictures_and_report(comfyui_dir: Path, tmp_path: Path) -> None:
    report_file = tmp_path / "deep" / "report.json"
    began = time.monotonic()
    with demo(comfyui_dir, tmp_path, "--json", str(report_file)) as process:
        told, _ = process.communicate(timeout=240)
    assert process.returncode == 0, told
    output = tmp_path / "demo_output"
    report: dict[str, Any] = json.loads(report_file.read_text())
    assert report == json.loads((output / "report.json").read_text())
    assert PlanForm.model_validate(report["plan"]).actual is not None
    assert "purple figure" in report["prompt"]
    assert report["steps"] == 20 and report["model"] == "demo"
    places = {task["condition"]: task["ran"] for task in report["subtasks"]}
    assert list(places) == [EDGES, "1:ready", "2:ready"]
    assert places[EDGES] == "worker demo"
    for task in report["subtasks"]:
        assert task["predicted_s"] > 0 and task["actual_s"] > 0 and task["status"] == "done"
    notes = {task["condition"]: task["note"] for task in report["subtasks"]}
    assert notes[EDGES] == PINNED and PINNED in told, "not told as the planner's choice"
    assert 0 < report["run_s"] <= report["total_s"] <= time.monotonic() - began
    for file in (report["files"]["picture"], report["files"]["contact_sheet"]):
        assert min(Image.open(file).size) >= 128
        assert file in told or Path(file).name in told
    assert len(report["files"]["hints"]) == 3
    for name in ("canny", "ready"):
        assert name in (output / "report.txt").read_text()


def test_demo_with_a_photo(comfyui_dir: Path, tmp_path: Path) -> None:
    photo = tmp_path / "mine.jpg"
    Image.radial_gradient("L").convert("RGB").resize((300, 200)).save(photo)
    with demo(comfyui_dir, tmp_path, "--photo", str(photo), "--prompt", "a mug") as process:
        told, _ = process.communicate(timeout=240)
    assert process.returncode == 0, told
    output = tmp_path / "demo_output"
    report = json.loads((output / "report.json").read_text())
    assert report["prompt"] == "a mug" and report["photo"] == str(photo)
    assert [task["condition"] for task in report["subtasks"]] == [EDGES, LINES]
    assert Image.open(output / "photo.png").size == (200, 200)
    assert "never learnt mug" in told, "a word that the model does not know is named"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "terminated"])
@posix
def test_signal_while_sampling_leaves_no_process(
    comfyui_dir: Path, tmp_path: Path, number: signal.Signals
) -> None:
    with demo(comfyui_dir, tmp_path) as process:
        hear(process, "Sampling")
        assert len(marked(tmp_path)) >= 3, "the demo, ComfyUI and the worker"
        process.send_signal(number)
        rest, _ = process.communicate(timeout=120)
        assert all_gone(tmp_path)
    assert process.returncode == 130, rest
    assert "Traceback" not in rest


@posix
def test_two_signals_while_comfyui_starts_leave_no_process(
    comfyui_dir: Path, tmp_path: Path
) -> None:
    with demo(comfyui_dir, tmp_path) as process:
        running(tmp_path, "comfyui_tandem.headless.launch")
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)  # a person who presses it twice
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=120)
        assert all_gone(tmp_path)
    assert process.returncode == 130, rest
    assert "Traceback" not in rest


@pytest.mark.skipif(sys.platform != "linux", reason="what only Linux does")
def test_killed_demo_leaves_no_process(comfyui_dir: Path, tmp_path: Path) -> None:
    with demo(comfyui_dir, tmp_path) as process:
        running(tmp_path, "comfyui_tandem.edge_worker")
        running(tmp_path, "comfyui_tandem.headless.launch")
        process.kill()
        process.wait()
        assert all_gone(tmp_path)


@posix
def test_lost_worker_costs_a_second_try_not_the_picture(comfyui_dir: Path, tmp_path: Path) -> None:
    with demo(comfyui_dir, tmp_path) as process:
        worker = running(tmp_path, "comfyui_tandem.edge_worker")  # to lose no time when it counts
        hear(process, "ComfyUI answers")
        os.killpg(worker.pid, signal.SIGKILL)
        told, _ = process.communicate(timeout=240)
    assert process.returncode == 0, told
    report = json.loads((tmp_path / "demo_output" / "report.json").read_text())
    assert "The worker was lost" in told and "The worker was lost" in report["warnings"][0]
    assert {task["ran"] for task in report["subtasks"]} == {"this machine"}
    assert PINNED not in told, "the second try left the planner its choice"
    assert min(Image.open(report["files"]["picture"]).size) >= 128


def test_keep_running_leaves_the_editor_open_and_keeps_what_is_saved(
    comfyui_dir: Path, tmp_path: Path
) -> None:
    name = f"{tmp_path.name}.json"
    with demo(comfyui_dir, tmp_path, "--keep-running") as process:
        line = next(line for line in process.stdout or () if "The editor is open" in line)
        url = line.partition(" on ")[2].partition(";")[0]
        assert "<html" in requests.get(url, timeout=10).text
        saved = requests.post(f"{url}/userdata/workflows%2F{name}", json={"mine": 1}, timeout=10)
        assert saved.ok, saved.text
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)
        assert all_gone(tmp_path)
    assert process.returncode == 130
    [file] = (WORK / "demo" / "user").rglob(name)
    assert json.loads(file.read_text()) == {"mine": 1}
    file.unlink()
    assert "demo" not in read_workers(registry(WORK / "demo" / "user"))


@pytest.mark.parametrize("harm", ["no picture", "broken chunk", "too large"])
def test_bad_photo_is_explained(harm: str, tmp_path: Path) -> None:
    file = tmp_path / "photo.png"
    if harm == "too large":
        Image.new("1", (14000, 14000)).save(file)
    else:
        Image.radial_gradient("L").save(file)
        good = file.read_bytes()
        file.write_bytes(good[:60] + bytes(40) + good[100:] if harm == "broken chunk" else b"text")
    with demo(tmp_path, tmp_path, "--photo", str(file)) as process:
        told, _ = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "--photo" in told and "Traceback" not in told


def test_worker_that_is_away_is_explained(tmp_path: Path) -> None:
    with demo(tmp_path, tmp_path, "--worker", "http://127.0.0.1:9") as process:
        told, _ = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "127.0.0.1:9" in told or "refused" in told
    assert "start the worker" in told and "Traceback" not in told


@pytest.mark.parametrize("place", ["demo_output", "there/report.json"])
def test_place_that_cannot_be_written_is_explained(place: str, tmp_path: Path) -> None:
    (tmp_path / place.partition("/")[0]).write_text("a file in the way")
    options = ("--json", str(tmp_path / place)) if "/" in place else ()
    with demo(tmp_path, tmp_path, *options) as process:
        told, _ = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "file to write" in told and place in told and "Traceback" not in told


def test_bare_clone_without_packages_is_explained() -> None:
    script = Path(__file__).parents[2] / "scripts" / "tandem.py"
    command = [sys.executable, "-S", str(script), "demo", "--comfyui", "."]  # -S: no packages
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 2
    assert "scripts/demo.py" in run.stderr and "Traceback" not in run.stderr
