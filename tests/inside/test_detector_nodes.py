"""Nodes that choose and run detectors: options, masks, guesses, cancel."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from comfyui_tandem.engine.conditions import DETECTORS, Options
from comfyui_tandem.engine.errors import BadInput, TandemError


def options_nodes() -> list[Any]:
    from comfyui_tandem.nodes import options

    return [
        *(options.EdgeOptions, options.LineOptions, options.SurfaceOptions),
        *(options.PeopleOptions, options.PictureOptions),
    ]


def image(height: int = 64, width: int = 64) -> Any:
    import torch

    return torch.rand(1, height, width, 3, generator=torch.Generator().manual_seed(0))


def condition(detector: str, **more: Any) -> Any:
    from comfyui_tandem.nodes.conditions import MakeCondition

    given = {"resolution": 64, "strength": 1.0, "start_percent": 0.0, "end_percent": 1.0}
    made = MakeCondition.execute(image(), detector, where="auto", **given, **more)
    return made.result[0][-1]


def test_every_parameter_has_one_options_node() -> None:
    offered = [(node.KIND, name) for node in options_nodes() for name in node.params()]
    for detector in DETECTORS.values():
        for param in detector.params:
            homes = [
                node.KIND
                for node in options_nodes()
                if detector.family in node.FAMILIES and param.name in node.params()
            ]
            assert len(homes) == 1, (detector.name, param.name)
    assert len(set(offered)) == len(offered)


def test_detectors_of_one_options_node_agree_on_ranges() -> None:
    for node in options_nodes():
        for param, users in node.params().values():
            for user in users:
                [own] = [one for one in DETECTORS[user].params if one.name == param.name]
                assert (own.least, own.most, own.whole) == (param.least, param.most, param.whole)
                assert own.default == param.default, "the node's default must be nobody's change"


def test_options_that_were_left_alone_change_no_detector() -> None:
    for node in options_nodes():
        options = node.execute().result[0]
        for detector in DETECTORS.values():
            if detector.family in node.FAMILIES:
                assert options.for_detector(detector) == {}, detector.name


def test_options_reach_the_detector_that_knows_them() -> None:
    from comfyui_tandem.nodes.options import EdgeOptions

    options = EdgeOptions.execute(low=10, safe=True).result[0]
    assert condition("canny", options=options).request.params == {"low": 10}
    assert condition("softedge_hed", options=options).request.params == {"safe": 1}
    assert condition("scribble_hed", options=options).request.params == {}


def test_options_for_others_are_refused() -> None:
    with pytest.raises(BadInput, match="family 'tile'"):
        condition("tile", options=Options(("edges",), {"low": 3}))


def test_an_option_out_of_range_is_named() -> None:
    from comfyui_tandem.nodes.options import EdgeOptions

    with pytest.raises(BadInput, match="low is 0"):
        EdgeOptions.execute(low=0)


def test_inpaint_marks_the_mask_in_the_hint() -> None:
    import torch
    from comfyui_tandem.nodes.detect import Detect

    mask = torch.zeros(1, 32, 32)
    mask[:, :16] = 1.0
    hint = asyncio.run(Detect.execute(image(), "inpaint", 64, None, mask)).result[0]
    assert (hint[:, :32] == -1).all() and (hint[:, 32:] >= 0).all()
    assert hint.shape == (1, 64, 64, 3)


def test_a_mask_stays_out_of_the_request_and_reaches_apply() -> None:
    import torch
    from comfyui_tandem.engine.conditions import Hint
    from comfyui_tandem.engine.control import apply_hints

    class Net:
        extra_hooks = None

        def copy(self) -> Net:
            return self

        def set_cond_hint(self, hint: Any, *args: Any, **more: Any) -> Net:
            self.hint = hint
            return self

        def set_previous_controlnet(self, before: Any) -> Net:
            return self

    net = Net()
    asked = condition("inpaint", mask=torch.ones(1, 8, 8), control_net=net)
    assert "mask" not in str(asked.request.as_dict())
    hint = Hint(asked, (np.full((64, 64, 3), 9, np.uint8),), "local", 0.0)
    apply_hints([[[torch.zeros(1, 1, 1), {}]]], [hint])
    assert (net.hint == -1).all()


@pytest.mark.parametrize(("detector", "has_mask"), [("inpaint", False), ("canny", True)])
def test_a_mask_goes_with_inpaint_alone(detector: str, has_mask: bool) -> None:
    import torch

    with pytest.raises(BadInput, match="mask"):
        condition(detector, mask=torch.ones(1, 8, 8) if has_mask else None)


def test_a_flat_hint_is_told() -> None:
    import torch
    from comfyui_tandem.nodes.detect import Detect

    flat = torch.full((2, 64, 64, 3), 0.5)
    summary = asyncio.run(Detect.execute(flat, "canny", 64)).result[1]
    assert "picture 1 is one flat colour (0)" in summary and "picture 2" in summary


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("control_v11p_sd15_canny_fp16.safetensors", "canny"),
        ("sub/control_v11e_sd15_shuffle.pth", "shuffle"),
        ("tandem_demo_edge.safetensors", "canny"),
        ("control_v11p_sd15_scribble.pth", "scribble"),
        ("control_v11p_sd15_lineart.pth", "lineart_standard"),
        ("control_v11f1e_sd15_tile.bin", "tile"),
    ],
)
def test_a_guess_takes_what_can_run_here(name: str, expected: str, tmp_path: Path) -> None:
    from comfyui_tandem.engine.conditions import Models, models, use_models
    from comfyui_tandem.nodes.conditions import guessed

    before = models()
    use_models(Models([tmp_path]))
    try:
        assert guessed(name) == expected
    finally:
        use_models(before)


def test_a_name_that_tells_nothing_is_left_to_the_user() -> None:
    from comfyui_tandem.nodes.conditions import guessed

    with pytest.raises(BadInput, match="choose it yourself"):
        guessed("my_secret_net.safetensors")


def test_a_cancelled_detector_ends_in_the_background(monkeypatch: pytest.MonkeyPatch) -> None:
    import comfy.model_management as management
    from comfyui_tandem.nodes import detect as node

    go_on, ended = threading.Event(), threading.Event()

    def slow(request: Any, photo: Any) -> Any:
        management.interrupt_current_processing()
        assert go_on.wait(60)
        ended.set()
        return np.zeros((64, 64), np.uint8)

    monkeypatch.setattr(node, "detect", slow)
    with pytest.raises(management.InterruptProcessingException):
        asyncio.run(node.Detect.execute(image(), "canny", 64))
    assert not ended.is_set(), "the node did not wait for it"
    go_on.set()
    assert ended.wait(60)


def test_missing_weights_are_told_by_the_node(tmp_path: Path) -> None:
    from comfyui_tandem.engine.conditions import Models, models, use_models
    from comfyui_tandem.nodes.detect import Detect

    before = models()
    use_models(Models([tmp_path]))
    try:
        with pytest.raises(TandemError, match=r"fastdepth_224\.onnx"):
            asyncio.run(Detect.execute(image(), "depth_fast", 64))
    finally:
        use_models(before)


def test_a_uint8_image_is_taken_and_another_range_is_refused() -> None:
    import torch
    from comfyui_tandem.nodes.pictures import photos_of

    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16, 1).expand(1, 16, 16, 3)
    [taken], [usual] = photos_of(levels), photos_of(levels / 255)
    np.testing.assert_array_equal(taken.pixels, usual.pixels)
    with pytest.raises(BadInput, match="divide it by 255"):
        photos_of(levels.float())


def test_folders_come_from_comfyui(tmp_path: Path) -> None:
    import folder_paths
    from comfyui_tandem.engine.conditions import models
    from comfyui_tandem.nodes.detector_choice import FOLDER, open_detectors

    folder_paths.add_model_folder_path(FOLDER, str(tmp_path))  # as extra_model_paths.yaml does
    open_detectors()
    own = Path(folder_paths.models_dir, FOLDER)
    assert {tmp_path, own} <= set(models().folders)
