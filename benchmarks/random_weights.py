"""Random weights in the real architectures of controlnet-aux, under the published file names."""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch

Module = Callable[[str], Any]  # imports a module of controlnet-aux


def write_weights(name: str, folder: Path, module: Module) -> None:
    """The files of one detector."""
    torch.manual_seed(0)
    MAKERS[name](folder, module)


def _vivid(net: Any, gain: float = 1.6) -> dict[str, Any]:
    """Convolutions wide enough that the hint shows the photo rather than one grey."""
    for layer in net.modules():
        if isinstance(layer, torch.nn.Conv2d):
            fan = layer.weight[0].numel()
            torch.nn.init.normal_(layer.weight, std=gain / fan**0.5)
    return net.state_dict()


def _hed(folder: Path, module: Module) -> None:
    net = module("hed").ControlNetHED_Apache2()
    torch.save(_vivid(net, 1.5), folder / "ControlNetHED.pth")


def _pidinet(folder: Path, module: Module) -> None:
    state = module("pidi").pidinet().state_dict()
    saved = {f"module.{key}": value for key, value in state.items()}
    torch.save({"state_dict": saved}, folder / "table5_pidinet.pth")


def _teed(folder: Path, module: Module, file: str = "5_model.pth") -> None:
    torch.save(_vivid(module("teed").TED(), 1.0), folder / file)


def _mlsd(folder: Path, module: Module) -> None:
    net = module("mlsd").MobileV2_MLSD_Large()
    torch.save(_vivid(net, 1.2), folder / "mlsd_large_512_fp32.pth")


def _lineart(folder: Path, module: Module) -> None:
    for file in ("sk_model.pth", "sk_model2.pth"):
        torch.save(_vivid(module("lineart").Generator(3, 1, 3)), folder / file)


def _anime(folder: Path, module: Module) -> None:
    norm = functools.partial(torch.nn.InstanceNorm2d, affine=False, track_running_stats=False)
    net = module("lineart_anime").UnetGenerator(3, 1, 8, 64, norm_layer=norm, use_dropout=False)
    torch.save(net.state_dict(), folder / "netG.pth")


def _midas(folder: Path, module: Module) -> None:
    net = module("midas.midas.dpt_depth").DPTDepthModel(
        path=None, backbone="vitb_rn50_384", non_negative=True
    )
    torch.save(net.state_dict(), folder / "dpt_hybrid-midas-501f0c75.pt")


def _zoe(folder: Path, module: Module) -> None:
    package = module("zoe")
    net = package.ZoeDepth.build_from_config(package.get_config("zoedepth", "infer"))
    torch.save({"model": net.state_dict()}, folder / "ZoeD_M12_N.pt")


@contextmanager
def narrow_zoe(module: Module) -> Generator[None]:
    """While it lasts, ZoeDepth is built with a quarter of its parameters, for 96 x 128 pixels.

    All its layers stay; the real one takes 5 GB and minutes to compare.
    """
    import timm

    package = module("zoe")
    make, config = timm.create_model, package.get_config

    def narrow(*args: Any, **given: Any) -> Any:
        return make(*args, mlp_ratio=0.25, **given)

    def small(*args: Any) -> Any:
        found = config(*args)
        found["img_size"] = [96, 128]
        return found

    with mock.patch.object(timm, "create_model", narrow):
        with mock.patch.object(package, "get_config", small):
            yield


def _leres(folder: Path, module: Module) -> None:
    state = module("leres").RelDepthModel(backbone="resnext101").state_dict()
    saved = {f"module.{key}": value for key, value in state.items()}
    torch.save({"depth_model": saved}, folder / "res101.pth")


def _normalbae(folder: Path, module: Module) -> None:
    from types import SimpleNamespace

    wanted = SimpleNamespace(
        mode="client",
        architecture="BN",
        pretrained="scannet",
        sampling_ratio=0.4,
        importance_ratio=0.7,
    )
    torch.save({"model": module("normalbae").NNET(wanted).state_dict()}, folder / "scannet.pt")


def _openpose(folder: Path, module: Module) -> None:
    for net, file in (
        (module("open_pose.model").bodypose_model(), "body_pose_model.pth"),
        (module("open_pose.model").handpose_model(), "hand_pose_model.pth"),
    ):
        state = {key.split(".", 1)[1]: value for key, value in _vivid(net, 1.2).items()}
        torch.save(state, folder / file)
    torch.save(module("open_pose.face").FaceNet().state_dict(), folder / "facenet.pth")


MAKERS: dict[str, Callable[[Path, Module], None]] = {
    "softedge_hed": _hed,
    "scribble_hed": _hed,
    "softedge_pidinet": _pidinet,
    "scribble_pidinet": _pidinet,
    "softedge_teed": _teed,
    "softedge_anyline": functools.partial(_teed, file="MTEED.pth"),
    "mlsd": _mlsd,
    "lineart": _lineart,
    "lineart_anime": _anime,
    "depth_midas": _midas,
    "normals_midas": _midas,
    "depth_zoe": _zoe,
    "depth_leres": _leres,
    "normals_bae": _normalbae,
    "openpose": _openpose,
}

SMALL = (  # one of each file under 60 MB
    *("softedge_hed", "softedge_pidinet", "softedge_teed", "softedge_anyline", "mlsd", "lineart"),
)
LARGE = ("lineart_anime", "depth_midas", "depth_zoe", "depth_leres", "normals_bae", "openpose")
