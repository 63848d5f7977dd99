"""One run of the demo, from starting what it needs to the report."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from ..engine.errors import BadInput, Unavailable
from ..engine.offload.workers import WorkerEntry, remove_worker
from ..headless.api import ComfyApi
from ..headless.graph import Graph, read_graph, the_node
from ..headless.lock import only_one
from ..headless.pack import ROOT
from ..headless.result import Result
from ..headless.session import Session, open_session
from ..headless.signals import ending_in_order, undisturbed
from ..headless.worker import WorkerProcess, elsewhere, register, registry
from .demo_fast import check_fast_files, fast_graph, sampled
from .demo_queue import (
    GRAPH,
    PINNED,
    Run,
    condition_titles,
    prompt_node,
    queue_again,
    queue_example,
)
from .demo_report import Report, report_of, report_text
from .demo_sheet import Tile, contact_sheet

WORK = ROOT / ".comfyui"
OUTPUT = Path.cwd() / "demo_output"
PHOTO = OUTPUT / "photo.png"
SCENE_PICTURE = ROOT / "demo_models" / "scenes" / "meadow_picture.png"  # the example's
ALIAS = "demo"
UNKNOWN = "the demo model never learnt "  # what it says in ComfyUI's log
HAS_GPU = "import torch; print(torch.cuda.is_available() or torch.backends.mps.is_available())"


def run_demo(options: argparse.Namespace) -> int:
    """Runs it; whatever it started has ended when this returns or raises."""
    began = time.monotonic()
    if not options.comfyui:
        do = "give --comfyui DIR, or run scripts/demo.py, which gets one"
        raise BadInput("--comfyui", options.comfyui, do)
    if not GRAPH.is_file():  # installed by pip, without the examples
        raise Unavailable("example graph", str(GRAPH), "run the demo from a clone of Tandem")
    if options.fast:
        check_fast_files(fast_graph(read_graph(GRAPH)))
    _check_writable(OUTPUT / "report.json")
    if options.json:
        _check_writable(options.json)
    with ending_in_order(), only_one(WORK / "demo.lock", "demo"):
        _run_alone(options, began)
    return 0


def _run_alone(options: argparse.Namespace, began: float) -> None:
    if options.photo:
        _take_photo(options.photo, PHOTO)
    else:
        shutil.copy(SCENE_PICTURE, PHOTO)
    away = elsewhere(ALIAS, options.worker, options.ca_file) if options.worker else None
    with _Started() as started:
        session = started.everything(Path(options.comfyui), away)
        photo, log = PHOTO if options.photo else None, OUTPUT / "logs" / "comfyui.log"
        run = queue_example(session.api, photo, options.prompt, log)
        other = None
        if options.fast:
            print("The same once more, fast", flush=True)
            graph = fast_graph(run.graph)
            other = graph, queue_again(session.api, graph, log)
        report = _save(session.api, run, other, options, time.monotonic() - began)
        _publish(report, options.json)
        if options.keep_running:
            _keep(session)


class _Started(ExitStack):
    """What was started; ends all of it in the end, undisturbed by a second Ctrl-C."""

    def everything(self, comfyui: Path, away: WorkerEntry | None) -> Session:
        """ComfyUI, and a worker that it knows unless one is `away`, started by somebody else."""
        base = WORK / "demo"
        shutil.rmtree(base / "output", ignore_errors=True)  # of earlier runs; copies were kept
        user = base / "user"  # stays: people save workflows in the editor
        logs = OUTPUT / "logs"
        for old in logs.glob("*.log"):
            old.unlink()
        worker: WorkerProcess | None = None
        entry = away
        if entry is None:
            print("Starting an edge worker on this machine", flush=True)
            worker = self.enter_context(WorkerProcess.start(ALIAS, log=logs / "worker.log"))
            entry = worker.entry
        register(user, entry)
        self.callback(_forget, user)
        print("Starting ComfyUI", flush=True)
        args = [] if _has_gpu() else ["--cpu"]
        log = logs / "comfyui.log"
        session = open_session(comfyui, base, log=log, user=user, args=args)
        opened = self.enter_context(session)
        if worker:
            worker.wait_ready()
        print(f"ComfyUI answers on {opened.url}, the worker on {entry.url}", flush=True)
        return opened

    def __exit__(self, *details: Any) -> bool | None:
        with undisturbed():
            return super().__exit__(*details)


def _forget(user: Path) -> None:
    """Takes the worker out of the registry again: its token was for this run."""
    with suppress(BadInput):  # the person did so
        remove_worker(registry(user), ALIAS)


def _check_writable(file: Path) -> None:
    """Before anything is started, not after the run."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.open("ab").close()
        if file.stat().st_size == 0:
            file.unlink()
    except OSError as error:
        do = f"choose another folder or mend it, {error.strerror}"
        raise BadInput("file to write", str(file), do) from error


def _has_gpu() -> bool:
    probe = [sys.executable, "-c", HAS_GPU]
    answer = subprocess.run(probe, capture_output=True, text=True, check=False)  # noqa: S603
    return answer.stdout.strip() == "True"


def _take_photo(given: Path, file: Path) -> None:
    try:
        with Image.open(given) as image:
            square = min(image.size)  # as the demo model's pictures
            upright = ImageOps.exif_transpose(image).convert("RGB")
            ImageOps.fit(upright, (square, square)).save(file)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadInput("--photo", str(given), f"give a picture, {error}") from error


def _save(
    api: ComfyApi,
    run: Run,
    other: tuple[Graph, Result] | None,
    options: argparse.Namespace,
    total_s: float,
) -> Report:
    graph, result = run.graph, run.result
    saved = [node for node in result.outputs if graph[node]["class_type"] == "SaveImage"]
    from_hints = the_node(graph, "TandemRunConditions")
    [picture] = [n for n in saved if graph[n]["inputs"]["images"][0] != from_hints]
    [hints] = [n for n in saved if graph[n]["inputs"]["images"][0] == from_hints]
    files: dict[str, Any] = {
        "picture": _fetch(api, result.outputs[picture]["images"][0], OUTPUT / "picture.png"),
        "hints": [],
        "contact_sheet": str(OUTPUT / "contact_sheet.png"),
        "report": str(OUTPUT / "report.json"),
    }
    runs = ()
    if other:
        runs = sampled("normal", graph, result), sampled("fast", *other)
        image = other[1].outputs[picture]["images"][0]
        files["picture_fast"] = _fetch(api, image, OUTPUT / "picture_fast.png")
    report = report_of(
        graph,
        result,
        prompt=graph[prompt_node(graph)]["inputs"]["text"],
        photo=str(options.photo or "the demo scene"),
        machine=_machine(api.system_stats()),
        total_s=total_s,
        pinned=(run.pinned, PINNED) if run.pinned else None,
        warnings=(*run.warnings, *_unknown_words(OUTPUT / "logs" / "comfyui.log")),
        files=files,
        runs=runs,
    )
    tiles = [Tile(PHOTO, "photo", report.photo)]
    images = result.outputs[hints]["images"]
    for task, title, image in zip(report.subtasks, condition_titles(graph), images, strict=True):
        file = OUTPUT / "hints" / f"{title}.png"
        files["hints"].append(_fetch(api, image, file))
        took = f", {task.actual_s * 1000:.0f} ms" if task.actual_s is not None else ""
        tiles.append(Tile(file, f"hint: {title}", f"made on {task.ran}{took}"))
    note = f"{report.steps} steps, model: {report.model}"
    tiles.append(Tile(OUTPUT / "picture.png", "picture", note))
    for one in runs[1:]:
        note = f"{one.steps} steps, model: {one.model}"
        tiles.append(Tile(Path(files["picture_fast"]), f"picture, {one.name}", note))
    note = f"{len(report.subtasks)} conditions, {report.steps} steps, {report.run_s:.1f} s"
    if run.pinned:
        note += f"; {run.pinned} {PINNED}"
    contact_sheet(tiles, report.prompt, note).save(OUTPUT / "contact_sheet.png")
    return report


def _unknown_words(log: Path) -> dict[str, None]:
    """What the demo model's text encoder said about words that it never learnt, each line once."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    parts = (line.partition(UNKNOWN) for line in lines)
    return dict.fromkeys(UNKNOWN + rest for _, found, rest in parts if found)


def _fetch(api: ComfyApi, image: Mapping[str, str], file: Path) -> str:
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(api.view(image))
    return str(file)


def _machine(stats: Mapping[str, Any]) -> dict[str, str]:
    system, devices = stats["system"], stats["devices"]
    return {
        "comfyui": system["comfyui_version"],
        "torch": system["pytorch_version"],
        "device": ", ".join(device["name"] for device in devices),
    }


def _publish(report: Report, also: Path | None) -> None:
    form = json.dumps(report.as_dict(), indent=2) + "\n"
    text = report_text(report)
    (OUTPUT / "report.json").write_text(form, encoding="utf-8")
    (OUTPUT / "report.txt").write_text(text, encoding="utf-8")
    if also:
        also.parent.mkdir(parents=True, exist_ok=True)
        also.write_text(form, encoding="utf-8")
    print(f"\n{text}")
    fast = ["picture_fast.png"] if report.runs else []
    for name in ("picture.png", *fast, "hints", "contact_sheet.png", "report.txt", "report.json"):
        print(f"{name.partition('.')[0].replace('_', ' '):<14} {OUTPUT / name}")


def _keep(session: Session) -> None:
    print(f"\nThe editor is open on {session.url}; Ctrl-C ends it.", flush=True)
    child = session.server.child
    while child.exit_code is None:
        time.sleep(0.5)
    raise Unavailable("ComfyUI", f"ended with code {child.exit_code}", f"read {child.log}")
