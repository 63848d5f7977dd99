"""A model as a folder of ONNX files, each compared with PyTorch before it is called done."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import torch
from torch import Tensor

from ..errors import BadInput
from .control_net import OnnxControlNet, body_graph, control_positions, encoder_graph, hint_file
from .decoder import OnnxDecoder, decoder_graph
from .graph import PIXELS, TOKENS, context_width, encoder_shapes, unet_graph
from .manifest import (
    CONTROL_FOLDER,
    DECODER_FILE,
    UNET_FILE,
    Manifest,
    Part,
    checksums,
    write_manifest,
)  # fmt: skip
from .measure import Difference, call_seconds, worst
from .onnx_file import FP32, INT8, OPSET, file_bytes, write_onnx
from .source import Source
from .unet import OnnxUNet

PROMPT = "a red ball on the left"
MADE_BY = ("torch", "onnx", "onnxruntime")
ADDED = 0.1  # spread of the residuals compared with
Say = Callable[[str, Part], None]  # told of every part that is done


@dataclass(frozen=True, slots=True)
class Wanted:
    """control_nets: core's, by the names of their files to be. vae: whose decoder, if any.

    px: side of the pictures compared and timed with. machine: this one, in a line.
    """

    source: Source
    precision: Literal["fp32", "int8"]
    px: int
    machine: str
    control_nets: Mapping[str, Any]
    vae: Any = None


@torch.no_grad()
def export_folder(wanted: Wanted, folder: Path, say: Say) -> Manifest:
    """Write the folder, which must not exist; on any error nothing is left of it.

    Raises:
        BadInput: the folder exists, a network cannot be exported, or a file computes too much else.
        Unavailable: the package `onnx` is not installed.
    """
    if folder.exists():
        raise BadInput("folder", str(folder), "delete it, or name another with --output")
    folder.parent.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    with TemporaryDirectory(dir=folder.parent, prefix=".export-") as place:
        made = _Places(Path(place) / "made", Path(place) / "spare", wanted.precision)
        parts: list[Part] = []
        for made_of in (_unet, *([_decoder] if wanted.vae else [])):
            parts.append(made_of(wanted, made))
            say(wanted.precision, parts[-1])
        for name in wanted.control_nets:
            parts.append(_control_net(wanted, name, made))
            say(wanted.precision, parts[-1])
        manifest = Manifest(
            source=wanted.source.name, precision=wanted.precision, opset=OPSET, px=wanted.px,
            machine=wanted.machine, parts=tuple(parts),
            made_by={name: import_module(name).__version__ for name in MADE_BY},
        )  # fmt: skip
        write_manifest(made.out, manifest)
        made.out.rename(folder)
    return manifest


@dataclass(frozen=True, slots=True)
class _Places:
    """Where files of each precision go: what was not asked for is only measured."""

    out: Path
    spare: Path
    precision: str

    def files(self, name: str) -> dict[str, Path]:
        found = {self.precision: self.out / name, FP32: self.spare / name}
        if self.precision == FP32:
            found = {FP32: self.out / name}
        for file in found.values():
            file.parent.mkdir(parents=True, exist_ok=True)
        return found


def _unet(wanted: Wanted, places: _Places) -> Part:
    source, files = wanted.source, places.files(UNET_FILE)
    unet = source.unet
    write_onnx(unet_graph(unet), files)
    networks = {precision: OnnxUNet(file) for precision, file in files.items()}
    differences: dict[str, list[Difference]] = {precision: [] for precision in files}
    for height, width in _sizes(wanted.px):
        latent, times = torch.randn(1, unet.in_channels, height, width), torch.tensor([601.0])
        context = _context(source)
        shapes = encoder_shapes(unet, height, width)
        *residuals, middle = (torch.randn(1, *each) * ADDED for each in (*shapes, shapes[-1]))
        for added, deepest in (([], None), (residuals, middle)):
            control = {"output": list(added), "middle": [deepest]} if added else None
            right = unet(latent, times, context=context, control=control)
            for precision, network in networks.items():
                found = network.noise(latent, times, context, added, deepest)
                differences[precision].append(Difference.of(found, right))
    x = torch.randn(1, unet.in_channels, *_sizes(wanted.px)[0])
    times, context = torch.tensor([601.0]), _context(source)
    seconds = call_seconds(
        {"pytorch": lambda: unet(x, times, context=context)}
        | {name: _call(network.noise, x, times, context) for name, network in networks.items()}
    )
    checksum = checksums(unet.state_dict())
    return _part("unet", UNET_FILE, files, differences, seconds, checksum, source.positions)


def _control_net(wanted: Wanted, name: str, places: _Places) -> Part:
    network = wanted.control_nets[name].control_model
    file = f"{CONTROL_FOLDER}/{name}.onnx"
    files, positions = places.files(file), control_positions(network)
    write_onnx(body_graph(network), files)
    write_onnx(encoder_graph(network), {kind: hint_file(path) for kind, path in files.items()})
    networks = {kind: OnnxControlNet(path, positions) for kind, path in files.items()}
    differences: dict[str, list[Difference]] = {kind: [] for kind in files}
    context = torch.randn(1, TOKENS, context_width(network))
    cases: list[dict[str, Tensor]] = [
        {
            "x": torch.randn(1, network.in_channels, height, width),
            "hint": torch.rand(1, 3, height * PIXELS, width * PIXELS),
            "timesteps": torch.tensor([601.0]),
            "context": context,
        }
        for height, width in _sizes(wanted.px)
    ]
    for case in cases:
        right = _flat(network(**case))
        for kind, exported in networks.items():
            differences[kind].append(Difference.of(_flat(exported(**case)), right))
    seconds = call_seconds(
        {"pytorch": lambda: network(**cases[0])}
        | {kind: _call(_anew, exported, cases[0]) for kind, exported in networks.items()}
    )
    checksum = checksums(network.state_dict())
    return _part("control", file, files, differences, seconds, checksum, positions)


def _decoder(wanted: Wanted, places: _Places) -> Part:
    vae, files = wanted.vae, places.files(DECODER_FILE)
    write_onnx(decoder_graph(vae), files)
    decoders = {kind: OnnxDecoder(file) for kind, file in files.items()}
    differences: dict[str, list[Difference]] = {kind: [] for kind in files}
    latents = [
        wanted.source.latent_format.process_out(torch.randn(1, 4, *size))
        for size in _sizes(wanted.px)
    ]
    for latent in latents:
        right = vae.first_stage_model.decode(latent)
        for kind, decoder in decoders.items():
            differences[kind].append(Difference.of(decoder.decode(latent), right))
    seconds = call_seconds(
        {"pytorch": lambda: vae.first_stage_model.decode(latents[0])}
        | {kind: _call(decoder.decode, latents[0]) for kind, decoder in decoders.items()}
    )
    checksum = checksums(vae.first_stage_model.state_dict())
    return _part("decoder", DECODER_FILE, files, differences, seconds, checksum)


def _part(
    kind: Any,
    name: str,
    files: Mapping[str, Path],
    differences: Mapping[str, list[Difference]],
    seconds: dict[str, float],
    checksum: dict[str, int],
    positions: Sequence[int] = (),
) -> Part:
    for precision, found in differences.items():
        worst(found).check(name, precision)
    kept = INT8 if INT8 in files else FP32
    missed = worst(differences[kept])
    size = file_bytes(files[kept])
    if kind == "control":
        size += file_bytes(hint_file(files[kept]))
    return Part(
        kind=kind, file=name, bytes=size, weights_crc32=checksum, positions=tuple(positions),
        max_difference=missed.largest, relative_difference=missed.relative, seconds=seconds,
    )  # fmt: skip


def _sizes(px: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Of latents: the one asked for, and one with odd sides."""
    side = px // PIXELS
    return (side, side), (side - 3, side // 2 + 3)


def _context(source: Source) -> Tensor:
    """[1, T, C]: a prompt's, or random where the model came without a text encoder."""
    if source.clip is None:
        return torch.randn(1, TOKENS, context_width(source.unet))
    tokens = source.clip.tokenize(PROMPT)
    return source.clip.encode_from_tokens_scheduled(tokens)[0][0].float().cpu()


def _anew(network: OnnxControlNet, case: Mapping[str, Tensor]) -> None:
    """A call that encodes its hint, as PyTorch's does."""
    network.forget()
    network(**case)


def _flat(control: Mapping[str, Sequence[Tensor | None]]) -> Tensor:
    values = [value for part in ("output", "middle") for value in control[part]]
    return torch.cat([value.flatten() for value in values if value is not None])


def _call(function: Callable[..., object], *args: Any, **kwargs: Any) -> Callable[[], object]:
    return lambda: function(*args, **kwargs)
