from __future__ import annotations

import json
import math

import pytest
from comfyui_tandem.engine.errors import BadInput
from comfyui_tandem.engine.offload.instance import Input, Instance, Task, Worker
from comfyui_tandem.engine.offload.plan import Plan
from comfyui_tandem.engine.offload.planner import plan
from comfyui_tandem.engine.offload.simulate import simulate
from comfyui_tandem.engine.offload.timeline import Timeline

from .cases import KINDS, case

pytestmark = pytest.mark.quick
WORKER = Worker("w0", 1e6, 1e6)
PHOTO = Input("photo", 1000)


def depth(**changed: object) -> Task:
    values = {"id": "depth", "needs": ("photo",), "run": {"local": 1.0}, "out_bytes": 10.0}
    return Task(**{**values, **changed})  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("kind", KINDS)
def test_forms_survive_json(kind: str) -> None:
    instance = case(kind, 4, 0)
    found = plan(instance)
    timeline = simulate(instance, found)
    for value, made in ((instance, Instance), (found, Plan), (timeline, Timeline)):
        assert made.from_dict(json.loads(json.dumps(value.as_dict()))) == value


@pytest.mark.parametrize(
    ("tasks", "inputs", "workers"),
    [
        ((depth(run={"local": -1.0}),), (PHOTO,), ()),
        ((depth(run={"local": math.nan}),), (PHOTO,), ()),
        ((depth(run={"local": math.inf}),), (PHOTO,), ()),
        ((depth(run={}),), (PHOTO,), ()),
        ((depth(run={"w9": 1.0}),), (PHOTO,), (WORKER,)),
        ((depth(out_bytes=-1),), (PHOTO,), ()),
        ((depth(), depth()), (PHOTO,), ()),
        ((depth(needs=("gone",)),), (PHOTO,), ()),
        ((depth(needs=("photo", "photo")),), (PHOTO,), ()),
        ((depth(needs=("depth",)),), (PHOTO,), ()),
        ((depth(id="a", needs=("b",)), depth(id="b", needs=("a",))), (), ()),
        ((depth(),), (PHOTO, PHOTO), ()),
        ((depth(),), (Input("depth", 1.0), PHOTO), ()),
        ((depth(),), (PHOTO,), (WORKER, WORKER)),
        ((depth(),), (PHOTO,), (Worker("local", 1.0, 1.0),)),
        ((depth(),), (PHOTO,), (Worker("w0", 0.0, 1.0),)),
        ((depth(),), (PHOTO,), (Worker("w0", 1.0, 1.0, latency_s=-1),)),
    ],
)
def test_nonsense_is_refused(
    tasks: tuple[Task, ...], inputs: tuple[Input, ...], workers: tuple[Worker, ...]
) -> None:
    with pytest.raises(BadInput):
        Instance(tasks, inputs, workers=workers)


@pytest.mark.parametrize("made", [Instance, Plan, Timeline])
@pytest.mark.parametrize("form", [{}, {"version": 2}, {"version": 1}, {"version": 1, "odd": 1}])
def test_foreign_forms_are_refused(
    made: type[Instance] | type[Plan] | type[Timeline], form: dict[str, object]
) -> None:
    with pytest.raises(BadInput):
        made.from_dict(form)


def test_a_plan_of_other_tasks_is_refused() -> None:
    one, other = case("standard", 3, 0), case("standard", 4, 0)
    with pytest.raises(BadInput, match="plan these tasks"):
        simulate(other, plan(one))
