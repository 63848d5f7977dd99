"""What nodes do by themselves: schemas, checks, what they show."""

from __future__ import annotations

import asyncio
import json
import queue
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from comfyui_tandem.engine.errors import BadInput

pytestmark = pytest.mark.comfy


def node_list() -> list[Any]:
    from comfyui_tandem.nodes import TandemExtension

    return asyncio.run(TandemExtension().get_node_list())


def test_every_schema_builds_with_unlike_ids_and_words_for_people() -> None:
    for node in node_list():
        schema = node.define_schema()
        ids = [socket.id for socket in (*schema.inputs, *schema.outputs)]
        assert len(ids) == len(set(ids)), schema.node_id
        assert schema.node_id.startswith("Tandem") and schema.category.startswith("Tandem/")
        assert schema.description and all(socket.tooltip for socket in schema.inputs)


def test_an_image_becomes_photos_by_rounding() -> None:
    import torch
    from comfyui_tandem.nodes.pictures import photos_of

    image = torch.tensor([0.0, 0.5, 1.0, 1.7]).expand(2, 3, 4, 4)  # RGBA
    photos = photos_of(image)
    assert [photo.pixels.shape for photo in photos] == [(3, 4, 3)] * 2
    assert photos[0].pixels[0, 0].tolist() == [0, 128, 255]
    assert photos_of(torch.full((1, 2, 2, 1), 0.2))[0].pixels[1, 1].tolist() == [51, 51, 51]


@pytest.mark.parametrize("bad", ["shape", "empty", "nan"])
def test_an_image_that_is_none_is_refused(bad: str) -> None:
    import torch
    from comfyui_tandem.nodes.pictures import photos_of

    images = {
        "shape": torch.zeros(4, 4, 3),
        "empty": torch.zeros(0, 4, 4, 3),
        "nan": torch.full((1, 4, 4, 3), float("nan")),
    }
    with pytest.raises(BadInput, match="image"):
        photos_of(images[bad])


def test_what_is_shown_is_plain_json() -> None:
    from comfyui_tandem.nodes.show import json_safe

    shown = json_safe({"a": (1, float("nan"), "x" * 900), 2: [None, True, float("inf")]})
    assert json.loads(json.dumps(shown, allow_nan=False)) == shown
    assert shown["a"][1] is None and len(shown["a"][2]) == 200 and shown["2"] == [None, True, None]


@pytest.mark.parametrize("value", [np.float32(1), np.zeros(2), b"x", object()])
def test_what_json_cannot_say_is_refused(value: object) -> None:
    from comfyui_tandem.nodes.show import json_safe

    with pytest.raises(BadInput, match="value to show"):
        json_safe({"deep": [value]})


def test_waiting_hands_on_news_and_result() -> None:
    from comfyui_tandem.nodes.waiting import wait_for

    def work(report: Any, cancelled: threading.Event) -> str:
        for number in range(3):
            report(number)
        return "done"

    seen: list[int] = []
    assert asyncio.run(wait_for(work, seen.append)) == "done"
    assert seen == [0, 1, 2]


def test_waiting_raises_what_the_work_raises() -> None:
    from comfyui_tandem.nodes.waiting import wait_for

    def work(report: Any, cancelled: threading.Event) -> None:
        raise BadInput("photo", 3, "give one")

    with pytest.raises(BadInput, match="give one"):
        asyncio.run(wait_for(work, print))


def test_a_cancel_reaches_the_work_and_is_not_waited_for() -> None:
    import comfy.model_management as management
    from comfyui_tandem.nodes.waiting import wait_for

    go_on, told = threading.Event(), queue.SimpleQueue[bool]()

    def work(report: Any, cancelled: threading.Event) -> None:
        told.put(cancelled.wait(60) and go_on.wait(60))

    management.interrupt_current_processing()
    with pytest.raises(management.InterruptProcessingException):
        asyncio.run(wait_for(work, print))
    go_on.set()
    assert told.get(timeout=60)


def test_other_nodes_run_while_one_waits() -> None:
    from comfyui_tandem.nodes.waiting import wait_for

    begun = threading.Barrier(2)

    def work(report: Any, cancelled: threading.Event) -> str:
        begun.wait(60)  # each needs the other to have begun
        return "done"

    async def both() -> list[str]:
        return await asyncio.gather(wait_for(work, print), wait_for(work, print))

    assert asyncio.run(both()) == ["done", "done"]


def test_the_work_is_told_when_another_node_fails() -> None:
    from comfyui_tandem.nodes.waiting import wait_for

    begun, told = threading.Event(), queue.SimpleQueue[bool]()

    def work(report: Any, cancelled: threading.Event) -> None:
        begun.set()
        told.put(cancelled.wait(60))

    async def fail() -> None:
        waiting = asyncio.ensure_future(wait_for(work, print))
        while not begun.is_set():
            await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(fail())
    assert told.get(timeout=60)


@pytest.mark.parametrize(("detector", "where"), [("cany", "auto"), ("canny", "cloud")])
def test_a_choice_outside_the_list_is_refused(detector: str, where: str) -> None:
    import torch
    from comfyui_tandem.nodes.conditions import MakeCondition

    with pytest.raises(BadInput, match="choose one of"):
        MakeCondition.execute(torch.zeros(1, 8, 8, 3), detector, 64, 1.0, 0.0, 1.0, where)


def test_conditions_chain_without_touching_the_chain_before() -> None:
    import torch
    from comfyui_tandem.nodes.conditions import MakeCondition

    image = torch.zeros(1, 8, 8, 3)
    first = MakeCondition.execute(image, "canny", 64, 1.0, 0.0, 1.0, "auto").result[0]
    both = MakeCondition.execute(image, "tile", 64, 0.5, 0.0, 1.0, "edge", None, first).result[0]
    assert [one.request.detector for one in both] == ["canny", "tile"]
    assert len(first) == 1 and both[0] is first[0]


def test_a_cached_plan_is_run_with_the_registry_of_now(tmp_path: Path) -> None:
    import folder_paths
    from comfyui_tandem.engine.offload import (
        Costs,
        WorkerEntry,
        add_worker,
        plan_conditions,
        remove_worker,
    )
    from comfyui_tandem.nodes.model_folders import user_folder
    from comfyui_tandem.nodes.offload import with_known_workers

    before = folder_paths.get_user_directory()
    folder_paths.set_user_directory(str(tmp_path))
    try:
        old = WorkerEntry("garage", "http://127.0.0.1:1", token="t" * 32)
        gone = WorkerEntry("attic", "http://127.0.0.1:3", token="t" * 32)
        plan = replace(plan_conditions((), (), Costs()), workers=(old, gone))
        moved = replace(old, url="http://127.0.0.1:2", token="u" * 32)
        add_worker(user_folder(), moved)
        assert with_known_workers(plan).workers == (moved, gone)
        remove_worker(user_folder(), "garage")
        assert with_known_workers(plan).workers == (old, gone)
    finally:
        folder_paths.set_user_directory(before)
