"""The scales that nodes show are an interface: a schema holds them still."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from comfyui_tandem.engine.scaling.ledger import MOST_RUNS, Ledger, Row, UnknownRun, merged
from comfyui_tandem.engine.scaling.payload import (
    MOST_ROWS,
    ScalesForm,
    nothing_known,
    scales_payload,
)
from comfyui_tandem.engine.scaling.scale import Scale
from comfyui_tandem.engine.scaling.settings import Settings

SCHEMA = Path(__file__).parents[2] / "docs" / "tandem_scales.schema.json"
KEPT = Scale("0:canny", 0.75, 0.75, push=1.25, cover=0.0)
PRUNED = Scale("1:depth", 1.0, 0.0, push=0.5, cover=0.75, reason="covered 0.75 by 0:canny")


def test_schema_is_the_documented_one() -> None:
    written = json.dumps(ScalesForm.model_json_schema(), indent=1) + "\n"
    assert SCHEMA.read_text("utf-8") == written


def test_payload_is_plain_and_complete() -> None:
    empty = Row(Scale("2:pose", 0.5, 0.0, reason="its hint is one flat colour"))
    carrier = Row(replace(KEPT, scale=1.0, carried=0.25, coarse=0.5), 20, 5, True)
    rows = scales_payload([Row(KEPT, 20), Row(PRUNED, 1), empty, carrier])["rows"]
    assert rows == [
        {
            "cond": "0:canny", "strength": 0.75, "scale": 0.75, "carried": 0.0, "coarse": None,
            "contribution": 1.25, "cover": 0.0, "agreement": None, "pruned": False,
            "reason": None, "calls": 20, "reused": 0, "ended": False,
        },
        {
            "cond": "1:depth", "strength": 1.0, "scale": 0.0, "carried": 0.0, "coarse": None,
            "contribution": 0.25, "cover": 0.75, "agreement": None, "pruned": True,
            "reason": "covered 0.75 by 0:canny", "calls": 1, "reused": 0, "ended": False,
        },
        {
            "cond": "2:pose", "strength": 0.5, "scale": 0.0, "carried": 0.0, "coarse": None,
            "contribution": None, "cover": None, "agreement": None, "pruned": True,
            "reason": "its hint is one flat colour", "calls": None, "reused": 0, "ended": False,
        },
        {
            "cond": "0:canny", "strength": 0.75, "scale": 1.0, "carried": 0.25, "coarse": 0.5,
            "contribution": 1.25, "cover": 0.0, "agreement": None, "pruned": False,
            "reason": None, "calls": 20, "reused": 5, "ended": True,
        },
    ]  # fmt: skip


def test_payload_stays_small() -> None:
    long = Row(Scale("x" * 999, 1.0, 0.0, reason="y" * 999))
    rows = scales_payload([long] * (MOST_ROWS + 1))["rows"]
    assert len(rows) == MOST_ROWS
    assert len(rows[0]["cond"]) == len(rows[0]["reason"]) == 200


def test_the_ledger_knows_each_run_by_its_latent() -> None:
    latents = [torch.full((1, 4, 2, 2), float(seed)) for seed in range(MOST_RUNS + 1)]
    ledger = Ledger(Settings(), (KEPT, PRUNED))
    for calls, latent in enumerate(latents):
        ledger.write(latent, {"0:canny": Row(KEPT, calls)})
    assert ledger.read(latents[3].clone()) == (Row(KEPT, 3), Row(PRUNED))
    with pytest.raises(UnknownRun, match=f"of none of {MOST_RUNS} runs"):
        ledger.read(latents[0])


def test_a_batch_of_runs_is_remembered() -> None:
    assert MOST_RUNS >= 256, "a queue of a few hundred seeds, reported at its end"


def test_a_note_stands_in_place_of_rows() -> None:
    with pytest.raises(UnknownRun) as why:
        Ledger(Settings()).read(torch.zeros(16, 16, 1024, 1024))
    form = ScalesForm.model_validate(nothing_known(str(why.value)))
    assert form.rows == [] and form.note is not None
    assert form.note.endswith("or sample again."), "short enough to be shown whole"
    assert "(16, 16, 1024, 1024), of none of 0 runs" in form.note
    assert len(nothing_known("y" * 999)["note"]) == 200


def test_copies_of_a_condition_are_one_row() -> None:
    lowered = Scale("0:canny", 0.75, 0.25, push=1.0, cover=0.0)
    idle = Scale("0:canny", 0.75, 0.75, reason="did not act")
    assert merged([Row(idle, 0), Row(lowered, 20)]) == Row(lowered, 20)
    assert merged([Row(KEPT, 3), Row(lowered, 20)]) == Row(KEPT, 23)
    assert merged([Row(KEPT, 3), Row(lowered)]) == Row(KEPT)
    assert merged([Row(idle, 0), Row(idle, 0)]) == Row(idle, 0)
    assert merged([Row(KEPT, 3, 2, True), Row(KEPT, 4, 1)]) == Row(KEPT, 7, 3)
    assert merged([Row(KEPT, 3, 2, True), Row(KEPT, 0)]) == Row(KEPT, 3, 2, True)


def test_rows_read_like_sentences() -> None:
    assert str(Row(KEPT, 20)) == "0:canny: scale 0.75; 20 calls"
    assert str(Row(PRUNED, 1)) == "1:depth: left out, covered 0.75 by 0:canny; 1 call"
    lowered = Scale("2:pose", 1.0, 0.5, reason="agrees 0.20 as much as the best")
    assert str(lowered) == "2:pose: scale 0.50 of 1.00, agrees 0.20 as much as the best"
    carrier = Scale("0:canny", 0.75, 1.25, carried=0.5)
    assert str(carrier) == "0:canny: scale 1.25, 0.50 of it for what it covers"
    assert str(replace(KEPT, coarse=0.5)) == "0:canny: scale 0.75, 0.50 at coarse blocks"
    again = "0:canny: scale 0.75; 12 calls, 8 more times the same again"
    assert str(Row(KEPT, 12, 8)) == again
    assert str(Row(KEPT, 12, 8, True)) == f"{again}, then next to nothing was left of it"
