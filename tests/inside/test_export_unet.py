"""UNets as ONNX files: what PyTorch computes, at every size, with and without residuals."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest

from .narrow import CONTEXT, LAYOUTS, model_of, random_unet

pytestmark = pytest.mark.comfy
EQUAL = 1e-4
DEMO = Path(__file__).resolve().parents[2] / "demo_models" / "unet.safetensors"


@pytest.fixture(autouse=True)
def no_gradients() -> Any:
    import torch

    with torch.no_grad():
        yield


@cache
def demo_base() -> Any:
    """Core's UNet of the Base layout with the demo's weights, as a student starts."""
    from comfyui_tandem.engine.sampling.compact_unet import build_unet
    from comfyui_tandem.engine.sampling.weights import read_weights
    from comfyui_tandem.training.students import pruned
    from comfyui_tandem.training.unet import HEAD
    from comfyui_tandem.training.unet import build_unet as student

    full = {key: value.float() for key, value in read_weights(DEMO)[0].items()}
    model = build_unet(pruned(full, student("base").state_dict()), head_width=HEAD)
    return model.model.diffusion_model


@pytest.fixture(scope="module")
def demo_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    from comfyui_tandem.engine.export.unet import export_unet

    folder = tmp_path_factory.mktemp("onnx")
    files = {precision: folder / f"{precision}.onnx" for precision in ("fp32", "int8")}
    for precision, file in files.items():
        export_unet(demo_base(), file, precision)
    return files


def given(unet: Any, batch: int, height: int, width: int, tokens: int) -> tuple[Any, ...]:
    """A latent, times, context, residuals and the middle's, of a seed."""
    import torch
    from comfyui_tandem.engine.export.graph import context_width, encoder_shapes

    seed = torch.Generator().manual_seed(height)

    def draw(*shape: int) -> Any:
        return torch.randn(*shape, generator=seed)

    shapes = encoder_shapes(unet, height, width)
    times = torch.linspace(30, 900, batch)
    residuals = [draw(batch, *shape) * 0.2 for shape in shapes]
    context = draw(batch, tokens, context_width(unet))
    return draw(batch, 4, height, width), times, context, residuals, draw(batch, *shapes[-1]) * 0.2


def missed(unet: Any, network: Any, size: tuple[int, int, int, int]) -> float:
    """Largest difference of all outputs, with and without residuals."""
    latent, times, context, residuals, middle = given(unet, *size)
    control = {"output": list(residuals), "middle": [middle]}
    steered = unet(latent, times, context=context, control=control)
    plain = unet(latent, times, context=context)
    assert (steered - plain).abs().max() > 100 * EQUAL
    off = [
        network.noise(latent, times, context, residuals, middle) - steered,
        network.noise(latent, times, context) - plain,
    ]
    return max(float(each.abs().max()) for each in off)


SIZES = ((2, 16, 16, 77), (1, 13, 22, 154))  # batch, height, width, tokens


@pytest.mark.parametrize("layout", ["sd15", "small", "tiny", "uneven", "v2-base"])
def test_random_weights_compute_the_same(layout: str, tmp_path: Path) -> None:
    from comfyui_tandem.engine.export.unet import OnnxUNet, export_unet

    unet = model_of(random_unet(layout)).model.diffusion_model
    assert set(LAYOUTS) >= {layout}
    export_unet(unet, tmp_path / "unet.onnx")
    network = OnnxUNet(tmp_path / "unet.onnx")
    assert network.context_width == CONTEXT
    assert network.outputs == len(unet.input_blocks)
    assert max(missed(unet, network, size) for size in SIZES) < EQUAL


def test_a_unet_without_middle_of_another_loader_computes_the_same(tmp_path: Path) -> None:
    """There the last skip and the running feature are one tensor."""
    from comfyui_tandem.engine.export.unet import OnnxUNet, export_unet

    unet = model_of(random_unet("small")).model.diffusion_model
    ours = OnnxUNet(exported(unet, tmp_path / "ours.onnx"))
    unet.middle_block = None
    export_unet(unet, tmp_path / "theirs.onnx")
    theirs = OnnxUNet(tmp_path / "theirs.onnx")
    case = given(unet, *SIZES[0])
    assert (ours.noise(*case) - theirs.noise(*case)).abs().max() < EQUAL


def exported(unet: Any, file: Path) -> Path:
    from comfyui_tandem.engine.export.unet import export_unet

    export_unet(unet, file)
    return file


@pytest.mark.parametrize("size", SIZES)
def test_demo_weights_compute_the_same(demo_files: dict[str, Path], size: Any) -> None:
    from comfyui_tandem.engine.export.unet import OnnxUNet

    assert missed(demo_base(), OnnxUNet(demo_files["fp32"]), size) < EQUAL
    assert missed(demo_base(), OnnxUNet(demo_files["int8"]), size) < 0.1


def test_eight_bits_are_a_third_of_the_size_and_near(demo_files: dict[str, Path]) -> None:
    from comfyui_tandem.engine.export.onnx_file import file_bytes
    from comfyui_tandem.engine.export.unet import OnnxUNet

    assert file_bytes(demo_files["int8"]) <= 0.30 * file_bytes(demo_files["fp32"])
    case = given(demo_base(), *SIZES[0])
    exact, near = (OnnxUNet(demo_files[name]).noise(*case) for name in ("fp32", "int8"))
    off = (near - exact).pow(2).mean() / exact.pow(2).mean()
    assert 0 < off.sqrt() < 0.015  # 0.02 with the first and last convolutions in 8 bits too


def test_every_channel_has_a_scale_of_its_own(demo_files: dict[str, Path]) -> None:
    """A weight in 8 bits is off by half a step of its own channel at most."""
    import numpy as np
    import onnx
    from onnx import numpy_helper

    kept = {
        one.name: numpy_helper.to_array(one)
        for one in onnx.load(demo_files["fp32"]).graph.initializer
    }
    small = {
        one.name: numpy_helper.to_array(one)
        for one in onnx.load(demo_files["int8"]).graph.initializer
    }
    rounded = [name for name in kept if f"{name}_quantized" in small]
    left = [name for name in kept if name in small and kept[name].ndim == 4]
    assert len(rounded) > 100
    assert {name.split(".")[1] for name in left} == {"input_blocks", "output_blocks", "out"}
    for name in rounded:
        values, scale = small[f"{name}_quantized"], small[f"{name}_scale"]
        axis = next(a for a, size in enumerate(values.shape) if size == len(scale))
        if values.ndim == 2 and name.startswith("onnx::"):
            axis = 1
        spread = [1] * values.ndim
        spread[axis] = -1
        steps = scale.reshape(spread)
        assert values.dtype == np.int8
        assert (abs(values * steps - kept[name]) <= 0.5001 * steps).all(), name


def test_it_is_called_as_diffusers_unet(tmp_path: Path) -> None:
    from comfyui_tandem.engine.errors import BadInput
    from comfyui_tandem.engine.export.unet import OnnxUNet

    theirs = random_unet("base")
    network = OnnxUNet(exported(model_of(theirs).model.diffusion_model, tmp_path / "unet.onnx"))
    unet = model_of(theirs).model.diffusion_model
    latent, times, context, residuals, middle = given(unet, *SIZES[0])
    added = {
        "down_block_additional_residuals": tuple(residuals),
        "mid_block_additional_residual": middle,
        "return_dict": False,
    }
    expected = theirs(latent, times, context, **added)[0]
    assert (network(latent, times, context, **added)[0] - expected).abs().max() < EQUAL
    with pytest.raises(BadInput, match="residuals is 3: give none or 8"):
        network.noise(latent, times, context, residuals[:3])


def test_the_unet_given_is_not_changed(tmp_path: Path) -> None:
    import torch

    unet = model_of(random_unet("base")).model.diffusion_model
    before = {name: vars(module).copy() for name, module in unet.named_modules()}
    case = given(unet, *SIZES[0])
    expected = unet(case[0], case[1], context=case[2])
    exported(unet, tmp_path / "unet.onnx")
    assert {name: vars(module) for name, module in unet.named_modules()} == before
    assert torch.equal(unet(case[0], case[1], context=case[2]), expected)


def test_what_cannot_be_exported_or_opened_is_named(tmp_path: Path) -> None:
    import torch
    from comfyui_tandem.engine.errors import BadInput, Unavailable
    from comfyui_tandem.engine.export.unet import OnnxUNet, export_unet

    unet = model_of(random_unet("base")).model.diffusion_model
    with pytest.raises(BadInput, match="choose one of fp32, int8"):
        export_unet(unet, tmp_path / "unet.onnx", "int4")
    with pytest.raises(BadInput, match=r"SD1\.5's kind"):
        export_unet(torch.nn.Identity(), tmp_path / "unet.onnx")  # type: ignore[arg-type]
    unet.out[2].half()
    with pytest.raises(BadInput, match="32 bits"):
        export_unet(unet, tmp_path / "unet.onnx")
    with pytest.raises(Unavailable, match="tandem export"):
        OnnxUNet(tmp_path / "unet.onnx")
    (tmp_path / "unet.onnx").write_bytes(b"nothing")
    with pytest.raises(BadInput, match="export it anew"):
        OnnxUNet(tmp_path / "unet.onnx")
