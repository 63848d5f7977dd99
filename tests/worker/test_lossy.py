"""Lossy uploads: only where a worker's entry asks for them, and the run says what they cost."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
from comfyui_tandem.engine.conditions import Condition, ConditionRequest, Photo, detect
from comfyui_tandem.engine.offload import Costs, plan_conditions, run_lanes
from comfyui_tandem.engine.offload.client import WorkerClient
from comfyui_tandem.engine.offload.lossy import loss_notes, shift
from comfyui_tandem.engine.offload.workers import WorkerEntry
from comfyui_tandem.engine.wire.codecs import (
    PhotoLimits,
    decode_photo,
    encode_lossy,
    encode_photo,
    photo_type,
)

from .conftest import Running

NEVER = threading.Event()


def noisy_photo(seed: int) -> Photo:
    """Much of it is lost in JPEG."""
    rows = np.random.default_rng(seed).integers(0, 256, (160, 200, 3), dtype=np.uint8)
    return Photo(rows)


def after_jpeg(photo: Photo) -> Photo:
    return Photo(decode_photo(encode_lossy(photo.pixels), PhotoLimits()))


def ask(entry: WorkerEntry, name: str, photo: Photo) -> np.ndarray:
    client = WorkerClient(entry)
    try:
        request = ConditionRequest(name, 128)
        return client.preprocess(request, photo, cancelled=NEVER, deadline_s=20).picture
    finally:
        client.close()


def test_lossy_photo_is_a_smaller_jpeg() -> None:
    pixels = noisy_photo(0).pixels
    data = encode_lossy(pixels)
    assert photo_type(data) == "image/jpeg"
    assert len(data) < len(encode_photo(pixels, "webp"))
    long = np.zeros((1, 65_501, 3), np.uint8)  # longer than a JPEG can be
    assert photo_type(encode_lossy(long)) == "application/vnd.safetensors"


@pytest.mark.parametrize("first", ["lossy", "exact"])
def test_only_an_entry_that_asks_for_it_gets_it(running: Running, first: str) -> None:
    """Also where two entries name one worker, which then holds the photo both ways."""
    photo = noisy_photo(1 if first == "lossy" else 2)
    exact = detect(ConditionRequest("tile", 128), photo)
    lossy = detect(ConditionRequest("tile", 128), after_jpeg(photo))
    assert not np.array_equal(exact, lossy)
    entries = [(replace(running.entry, lossy=True), lossy), (running.entry, exact)]
    for entry, expected in entries if first == "lossy" else reversed(entries):
        np.testing.assert_array_equal(ask(entry, "tile", photo), expected)


def run(entry: WorkerEntry, photo: Photo, *names: str):  # type: ignore[no-untyped-def]
    wanted = [Condition(ConditionRequest(name, 128, where="edge"), (photo,)) for name in names]
    plan = plan_conditions(wanted, [entry], Costs())
    return run_lanes(plan, Costs(), report=lambda _: None, cancelled=NEVER)


def test_run_reports_how_far_the_maps_moved(running: Running) -> None:
    photo = noisy_photo(3)
    outcome = run(replace(running.entry, lossy=True), photo, "tile", "canny", "tile")
    notes = [line for line in outcome.warnings if "lossy" in line]
    assert len(notes) == 2  # one a detector
    request = ConditionRequest("tile", 128)
    mean, far = shift(detect(request, photo), detect(request, after_jpeg(photo)))
    assert mean > 0
    assert f"moved by {mean:.2f} % on average, {far:.1f} % of them by over 1/8" in notes[0]
    assert not [line for line in run(running.entry, photo, "tile").warnings if "lossy" in line]


def test_shift_counts_levels_of_8_and_16_bits() -> None:
    exact = np.zeros((10, 10), np.uint8)
    moved = exact.copy()
    moved[0] = 255
    assert shift(exact, exact) == (0.0, 0.0)
    assert shift(exact, moved) == (10.0, 10.0)
    fine = np.uint16(257)
    assert shift(exact * fine, moved * fine) == (10.0, 10.0)


def test_what_cannot_be_measured_is_said(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = replace(running.entry, lossy=True)
    hints = run(entry, noisy_photo(4), "tile").hints
    monkeypatch.setattr("comfyui_tandem.engine.offload.lossy.MOST_S", 0.0)
    [note] = loss_notes(hints, {entry.alias: entry})
    assert "not measured (it takes about" in note
