"""The plan that nodes show is an interface: its schema and a golden file hold it still."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from comfyui_tandem.engine.conditions import Condition, ConditionRequest, Photo
from comfyui_tandem.engine.offload import (
    Costs,
    Input,
    Instance,
    Offload,
    Outcome,
    Row,
    Span,
    Task,
    Timeline,
    Worker,
    offload_payload,
    plan,
    plan_conditions,
)
from comfyui_tandem.engine.offload.kept import Kept
from comfyui_tandem.engine.offload.payload_form import PlanForm

pytestmark = pytest.mark.quick
SCHEMA = Path(__file__).parents[2] / "docs" / "tandem_plan.schema.json"
GOLDEN = Path(__file__).with_name("tandem_plan.json")
DETECTORS = ("canny", "scribble", "tile", "blur")


def offload() -> Offload:
    """Three conditions of two lanes and one that was made before; times are whole binary parts."""
    picture = Photo(np.zeros((64, 64, 3), np.uint8))
    run = {"local": 2.0, "garage": 0.5}
    tasks = tuple(
        Task(f"{n}:{name}", ("photo",), run, 65536.0) for n, name in enumerate(DETECTORS[:3])
    )
    worker = Worker("garage", 2.0**18, 2.0**19, latency_s=0.125)
    instance = Instance(tasks, (Input("photo", 2.0**17, 0.25),), workers=(worker,))
    return Offload(
        tuple(Condition(ConditionRequest(name), (picture,)) for name in DETECTORS),
        (),
        instance,
        plan(instance),
        notes=("worker 'attic' does not answer",),
        priors={},
        starts={},
        ready={"3:blur": Kept((), "garage", "first", 0.5)},
        rough=("tile on garage",),
        spreads={"garage": 0.25},
    )


def outcome() -> Outcome:
    """The worker is lost in the middle."""
    spans = (
        Span("0:canny", "local", "load", 0.0, 0.25),
        Span("0:canny", "local", "run", 0.25, 2.0),
        Span("photo", "garage", "up", 0.25, 0.75),
        Span("1:scribble", "garage", "run", 0.75, 1.25),
        Span("1:scribble", "garage", "down", 1.25, 1.5),
        Span("2:tile", "garage", "lost", 1.25, 2.0),
        Span("2:tile", "local", "run", 2.0, 4.0),
        Span("1:scribble", "local", "copy", 4.0, 4.5),
    )
    rows = (
        Row("0:canny", None, "done", None, 2.0, 1.75),
        Row("1:scribble", "garage", "done", None, 0.5, 0.5),
        Row("2:tile", None, "moved", "moved: worker 'garage' is gone", 2.0, 2.0),
        Row("3:blur", "garage", "cached", None, 0.0, 0.0),
    )
    return Outcome((), Timeline(4.0, spans), rows, ("worker 'garage' is gone",))


def test_the_schema_is_that_of_the_code() -> None:
    assert json.loads(SCHEMA.read_text("utf-8")) == PlanForm.model_json_schema()


def test_the_payload_is_as_it_always_was() -> None:
    """A difference is one for everybody who reads `/history`: is it meant, and is `v` to rise?"""
    made = [offload_payload(offload(), each) for each in (None, outcome())]
    assert json.loads(json.dumps(made)) == json.loads(GOLDEN.read_text("utf-8"))


def test_a_long_payload_is_cut() -> None:
    picture = Photo(np.zeros((64, 64, 3), np.uint8))
    conditions = [Condition(ConditionRequest("canny"), (picture,))] * 70
    planned = plan_conditions(conditions, [], Costs())
    rows = tuple(Row(task, None, "moved", "n" * 999, 1.0, 1.0) for task in planned.tasks)
    spans = tuple(Span("s" * 999, "local", "run", 0.0, 1.0) for _ in range(999))
    payload = offload_payload(planned, Outcome((), Timeline(1.0, spans), rows, ("w" * 999,) * 99))
    assert (len(payload["rows"]), len(payload["warnings"])) == (64, 64)
    assert len(payload["actual"]["spans"]) == 512
    longest = [payload["warnings"][0], payload["rows"][0]["note"], payload["actual"]["spans"][0]]
    assert [len(text) for text in (*longest[:2], longest[2]["what"])] == [200, 200, 200]
