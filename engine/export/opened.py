"""An exported folder, opened for the very weights that it was made of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import comfy.model_management
import comfy.sd
import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ..errors import BadInput, Unavailable
from .control_net import OnnxControlNet, copied, hint_file, run_control_net
from .decoder import OnnxDecoder, run_decoder
from .graph import PIXELS, TOKENS
from .manifest import DECODER_FILE, UNET_FILE, Manifest, Part, is_made_of, read_manifest
from .measure import call_seconds, told
from .model import INSIDE, refuse_patches, run_exported
from .onnx_file import file_bytes
from .unet import OnnxUNet

ROUNDS = 2  # of what is measured on loading: a person waits


def open_model(model: ModelPatcher, folder: Path, machine: str) -> tuple[ModelPatcher, str]:
    """A clone of the model that runs by the folder's UNet, and a line on its speed.

    Times are the manifest's if they were measured on this machine; else this file and PyTorch are
    called a few times now.
    Raises:
        Unavailable: nothing is exported there.
        BadInput: it was made of other weights, files are not whole, or as `run_exported`.
    """
    refuse_patches(model)
    manifest, part = _part(folder, UNET_FILE)
    _check_weights("model", _own_weights(model), part)
    unet = OnnxUNet(folder / UNET_FILE)
    patched = run_exported(model, unet)
    if manifest.machine == machine:
        seconds = part.seconds
    else:
        seconds = _measured(model, unet, manifest)
    return patched, _line(manifest, part, seconds)


def open_control_net(net: Any, folder: Path, file: str) -> tuple[Any, str]:
    """A copy of the control object that runs by the folder's file, and a line on its speed.

    Raises:
        as `open_model`.
    """
    manifest, part = _part(folder, file)
    own = copied(net)
    network: Any = own.control_model
    _check_weights("control_net", network.state_dict(), part)
    exported = OnnxControlNet(folder / file, part.positions)
    return run_control_net(own, exported), _line(manifest, part, part.seconds)


def open_decoder(vae: comfy.sd.VAE, folder: Path) -> tuple[comfy.sd.VAE, str]:
    """A copy of the VAE that decodes by the folder's decoder, and a line on its speed.

    Raises:
        as `open_model`.
    """
    manifest, part = _part(folder, DECODER_FILE)
    autoencoder: Any = vae.first_stage_model
    _check_weights("vae", autoencoder.state_dict(), part)
    made = run_decoder(vae, OnnxDecoder(folder / DECODER_FILE))
    return made, _line(manifest, part, part.seconds)


def _part(folder: Path, file: str) -> tuple[Manifest, Part]:
    manifest = read_manifest(folder)
    part = manifest.part(file)
    if part is None:
        files = ", ".join(each.file for each in manifest.parts)
        raise Unavailable("exported network", file, f"export it too; {folder.name} has {files}")
    found = file_bytes(folder / file)
    if part.kind == "control":
        found += file_bytes(hint_file(folder / file))
    if found != part.bytes:
        raise BadInput(f"size of {file}", found, f"copy it again, it had {part.bytes} bytes")
    return manifest, part


def _own_weights(model: ModelPatcher) -> dict[str, Tensor]:
    """As they are without the patches of another clone, which may be on them now."""
    unet: Any = model.model.diffusion_model
    weights: dict[str, Tensor] = unet.state_dict()
    for name, kept in model.backup.items():
        if name.startswith(INSIDE):
            weights[name.removeprefix(INSIDE)] = kept.weight
    return weights


def _check_weights(what: str, weights: Mapping[str, Tensor], part: Part) -> None:
    if not is_made_of(part, weights):
        do = "connect the one that was exported, or export this one"
        raise BadInput(what, f"another than {part.file} was made of", do)


@torch.no_grad()
def _measured(model: ModelPatcher, unet: OnnxUNet, manifest: Manifest) -> dict[str, float]:
    comfy.model_management.load_models_gpu([model])
    own: Any = model.model.diffusion_model
    side = manifest.px // PIXELS
    given = (
        torch.randn(1, own.in_channels, side, side),
        torch.tensor([601.0]),
        torch.randn(1, TOKENS, unet.context_width),
    )
    there = tuple(each.to(model.load_device, own.dtype) for each in given)
    return call_seconds(
        {
            "pytorch": lambda: own(there[0], there[1], context=there[2]).cpu(),
            manifest.precision: lambda: unet.noise(*given),
        },
        ROUNDS,
    )


def _line(manifest: Manifest, part: Part, seconds: Mapping[str, float]) -> str:
    measured = "" if seconds is not part.seconds else f" on {manifest.machine}"
    return (
        f"{part.file} of {manifest.source}, {manifest.precision}, {part.bytes / 1e6:.1f} MB; "
        f"{manifest.px} px{measured}: {told(seconds, manifest.precision)}"
    )
