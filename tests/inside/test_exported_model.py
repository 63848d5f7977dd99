"""A MODEL and a ControlNet that run as exported files: the same pictures, and clear refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from .chains import adapter, both, chained
from .narrow import CONTEXT, model_of, random_unet, sample
from .narrow_nets import calls, control_net, hint

pytestmark = pytest.mark.comfy
EQUAL = 1e-4
PX = 128


@pytest.fixture(scope="module")
def model() -> Any:
    return model_of(random_unet("base"))


@pytest.fixture(scope="module")
def net() -> Any:
    return control_net(3)


def folder_of(place: Path, model: Any, net: Any, precision: Any) -> Path:
    from comfyui_tandem.engine.export.folder import Wanted, export_folder
    from comfyui_tandem.engine.export.source import Source

    source = Source("narrow", model, None, None)
    nets = {} if net is None else {"edge": net}
    wanted = Wanted(source, precision, PX, "the machine of the test", nets)
    export_folder(wanted, place / precision, lambda *_: None)
    return place / precision


@pytest.fixture(scope="module")
def place(model: Any, net: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of exported models, with the model and the net in it."""
    place = tmp_path_factory.mktemp("tandem_onnx")
    folder_of(place, model, net, "fp32")
    return place


@pytest.fixture(scope="module")
def with_int8(model: Any, place: Path) -> Path:
    """The same, with the model in 8 bits too."""
    return folder_of(place, model, None, "int8")


@pytest.fixture(autouse=True)
def offered(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the nodes, as on the machine where it was exported."""
    import folder_paths
    from comfyui_tandem.nodes import exported

    found = {exported.FOLDER: ([str(place)], set[str]())}
    monkeypatch.setattr(
        folder_paths, "folder_names_and_paths", folder_paths.folder_names_and_paths | found
    )
    monkeypatch.setattr(exported, "device", lambda: "the machine of the test")


def exported(model: Any, name: str = "fp32") -> Any:
    from comfyui_tandem.nodes.exported import RunExported

    return RunExported.execute(model, name).result[0]


def test_pictures_are_the_same_and_pytorch_is_not_called(model: Any) -> None:
    import torch
    from comfyui_tandem.engine.export.unet import OnnxUNet

    expected = sample(model, *both(), batch=2, size=(8, 13))
    ours = exported(model)
    called = mock.Mock()
    handle = model.model.diffusion_model.time_embed.register_forward_hook(called)
    try:
        with mock.patch.object(OnnxUNet, "noise", autospec=True, side_effect=OnnxUNet.noise) as ran:
            found = sample(ours, *both(), batch=2, size=(8, 13))
    finally:
        handle.remove()
    assert (called.call_count, ran.call_count) == (0, 2)
    torch.testing.assert_close(found, expected, atol=EQUAL * 10, rtol=1e-3)
    assert torch.equal(sample(model, *both(), batch=2, size=(8, 13)), expected)


def test_control_nets_arrive(model: Any, net: Any) -> None:
    import torch

    sides = chained(both(), (net, hint(), 0.8, 0.0, 1.0), (control_net(4), hint(1), 0.5, 0.0, 0.6))
    expected = sample(model, *sides)
    assert (expected - sample(model, *both())).abs().max() > 0.01
    torch.testing.assert_close(sample(exported(model), *sides), expected, atol=1e-3, rtol=1e-3)


def test_an_exported_control_net_steers_alike(model: Any, net: Any) -> None:
    import torch
    from comfyui_tandem.engine.export.network import OnnxNetwork
    from comfyui_tandem.nodes.exported import RunExportedControlNet

    own, said = RunExportedControlNet.execute(net, "fp32/edge").result
    assert "control/edge.onnx of narrow, fp32" in said

    def chain(last: Any) -> Any:
        return chained(both(), (last, hint(), 0.8, 0.0, 1.0), (control_net(4), hint(1), 0.5, 0, 1))

    expected = sample(model, *chain(net), batch=2)
    with calls(net) as counts:
        with mock.patch.object(
            OnnxNetwork, "__call__", autospec=True, side_effect=OnnxNetwork.__call__
        ) as ran:
            found = sample(model, *chain(own), batch=2)
    assert not counts[0] and ran.call_count == 3  # two steps, and the hint once
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)
    assert not own.control_model.input_hint_block.known, "no hint is kept when a run has ended"
    with calls(net) as counts:
        assert torch.equal(sample(model, *chain(net), batch=2), expected)
    assert counts[0]["net"] == 2


def test_hints_of_several_sizes_are_each_encoded_once(net: Any) -> None:
    import torch
    from comfyui_tandem.engine.export.control_net import MOST_HINTS, OnnxEncoder
    from comfyui_tandem.nodes.exported import RunExportedControlNet

    network = RunExportedControlNet.execute(net, "fp32/edge").result[0].control_model
    with mock.patch.object(
        OnnxEncoder, "forward", autospec=True, side_effect=OnnxEncoder.forward
    ) as ran:
        for side in (8, 16, 8, 16):
            hint = torch.ones(1, 3, 8 * side, 64)
            context = torch.randn(1, 77, CONTEXT)
            network(torch.randn(1, 4, side, 8), hint, torch.tensor([500.0]), context)
        assert ran.call_count == 2, "areas of two sizes take turns at every step"
        for value in range(9):
            network.input_hint_block(torch.full((1, 3, 64, 64), float(value)))
    assert len(network.input_hint_block.known) == MOST_HINTS


def test_int8_is_near_and_says_what_it_costs(model: Any, with_int8: Path) -> None:
    from comfyui_tandem.engine.export.measure import told
    from comfyui_tandem.engine.export.onnx_file import file_bytes
    from comfyui_tandem.nodes.exported import RunExported

    expected = sample(model, *both())
    ours, _, said = RunExported.execute(model, "int8").result
    off = sample(ours, *both()) - expected
    assert 1e-5 < off.norm() / expected.norm() < 0.05
    small, large = (file_bytes(with_int8.parent / name / "unet.onnx") for name in ("int8", "fp32"))
    assert small <= 0.30 * large
    assert "unet.onnx of narrow, int8" in said and "on the machine of the test" in said
    slower = {"pytorch": 3.0, "fp32": 1.0, "int8": 1.5}
    assert "int8 is 1.50 times as slow as fp32" in told(slower, "int8")
    assert "fastest: ONNX fp32" in told(slower, "int8")
    assert "times as slow" not in told(slower | {"int8": 0.9}, "int8")
    assert "It is 2.00 times as slow as PyTorch" in told({"pytorch": 1.0, "fp32": 2.0}, "fp32")


def test_on_another_machine_it_is_measured(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from comfyui_tandem.engine.export.unet import OnnxUNet
    from comfyui_tandem.nodes import exported as room

    monkeypatch.setattr(room, "device", lambda: "another")
    with mock.patch.object(OnnxUNet, "noise", autospec=True, side_effect=OnnxUNet.noise) as ran:
        said = room.RunExported.execute(model, "fp32").result[2]
    assert ran.call_count == 3
    assert "PyTorch" in said and "the machine of the test" not in said


def test_other_nodes_wrappers_still_act(model: Any) -> None:
    """In both orders: they wrap what we replace."""
    import torch
    from comfy.patcher_extension import WrappersMP

    def negated(executor: Any, *args: Any, **kwargs: Any) -> Any:
        return -executor(*args, **kwargs)

    def wrapped(one: Any) -> Any:
        clone = one.clone()
        clone.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, "test", negated)
        return clone

    expected = sample(wrapped(model), *both())
    for found in (
        sample(wrapped(exported(model)), *both()),
        sample(exported(wrapped(model)), *both()),
    ):
        torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)


def test_lcm_goes_on(model: Any) -> None:
    import torch
    from comfyui_tandem.engine.sampling.lcm import lcm_model

    run = {"steps": 4, "cfg": 1.0, "sampler": "lcm", "scheduler": "simple"}
    expected = sample(lcm_model(model, 8.0), *both(), **run)
    for ours in (lcm_model(exported(model), 8.0), exported(lcm_model(model, 8.0))):
        torch.testing.assert_close(sample(ours, *both(), **run), expected, atol=1e-3, rtol=1e-3)


def test_none_passes_on(model: Any, net: Any) -> None:
    from comfyui_tandem.nodes.exported import RunExported, RunExportedControlNet

    assert RunExported.execute(model, "none").result[0] is model
    assert RunExportedControlNet.execute(net, "none").result[0] is net


def lora(model: Any) -> Any:
    import torch

    patched = model.clone()
    patched.add_patches({"diffusion_model.out.2.bias": ("diff", (torch.ones(4),))})
    return patched


def changed_layer(model: Any) -> Any:
    patched = model.clone()
    patched.add_object_patch("diffusion_model.out.2.forward", lambda x: x)
    return patched


@pytest.mark.parametrize(
    ("change", "says"), [(lora, "a LoRA"), (changed_layer, "changed layers, diffusion_model.out.2")]
)
def test_changed_weights_and_layers_are_refused(model: Any, change: Any, says: str) -> None:
    from comfyui_tandem.engine.errors import BadInput

    with pytest.raises(BadInput, match=says):
        exported(change(model))
    with pytest.raises(BadInput, match=says):
        sample(change(exported(model)), *both())


def test_patches_between_blocks_are_refused(model: Any) -> None:
    from comfyui_tandem.engine.errors import BadInput

    ours = exported(model)
    freed, attended = ours.clone(), ours.clone()
    freed.set_model_output_block_patch(lambda h, skip, _: (h, skip))
    attended.set_model_attn2_replace(lambda q, k, v, _: q, "input", 1)
    for changed, name in ((freed, "output_block_patch"), (attended, "attn2")):
        with pytest.raises(BadInput, match=f"{name}, as IP-Adapter and FreeU"):
            sample(changed, *both())
    with pytest.raises(BadInput, match="T2I-Adapter"):
        sample(ours, *chained(both(), (adapter(), hint(), 0.8, 0.0, 1.0)))


def test_what_does_not_belong_together_is_refused(model: Any, net: Any) -> None:
    from comfyui_tandem.engine.errors import BadInput, Unavailable
    from comfyui_tandem.nodes.exported import RunExported, RunExportedControlNet

    with pytest.raises(BadInput, match=r"another than unet\.onnx was made of"):
        exported(model_of(random_unet("small")))
    with pytest.raises(BadInput, match=r"another than control/edge\.onnx"):
        RunExportedControlNet.execute(control_net(4), "fp32/edge")
    with pytest.raises(BadInput, match="T2IAdapter"):
        RunExportedControlNet.execute(adapter(), "fp32/edge")
    with pytest.raises(BadInput, match="Run Exported Model already"):
        exported(exported(model))
    with pytest.raises(BadInput, match="choose one of none, fp32"):
        RunExported.execute(model, "int4")
    with pytest.raises(Unavailable, match=r"fp32 has unet\.onnx, control/edge\.onnx"):
        RunExported.execute(model, "fp32", vae=mock.Mock())


def test_a_lora_that_another_clone_loaded_is_not_taken_for_other_weights(model: Any) -> None:
    """Clones share their weights, and core patches these in place."""
    changed = lora(model)
    sample(changed, *both())
    assert exported(model) is not None


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_weights_that_comfyui_holds_rounded_are_the_same(net: Any, precision: str) -> None:
    """As on a GPU: the export was made in 32 bits."""
    import torch
    from comfyui_tandem.engine.errors import BadInput
    from comfyui_tandem.nodes.exported import RunExported, RunExportedControlNet

    dtype = getattr(torch, precision)
    own = model_of(random_unet("base"))
    own.model.diffusion_model.to(dtype)
    assert RunExported.execute(own, "fp32").result[0] is not None
    half = control_net(3)
    half.control_model.to(dtype)
    RunExportedControlNet.execute(half, "fp32/edge")
    with torch.no_grad():
        next(half.control_model.parameters()).flatten()[0] *= 1.5
    with pytest.raises(BadInput, match=r"another than control/edge\.onnx"):
        RunExportedControlNet.execute(half, "fp32/edge")


def test_a_broken_copy_is_named(model: Any, place: Path) -> None:
    from comfyui_tandem.engine.errors import BadInput

    file = place / "fp32" / "unet.onnx"
    whole = file.read_bytes()
    try:
        file.write_bytes(whole[:-100])
        with pytest.raises(BadInput, match="copy it again"):
            exported(model)
    finally:
        file.write_bytes(whole)
