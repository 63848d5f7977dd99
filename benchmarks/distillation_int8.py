"""Part of `distillation`: the few-step UNet as ONNX files, weights in 8 bits against 32.

Both run by onnxruntime on the CPU, as in *Run Exported Model*; ControlNets stay as
they are. With hints these are the compact ones: what a small box would run.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from .comfy_modules import KEPT, hush  # isort: skip

import numpy as np
import torch

from ..engine.export.onnx_file import FP32, INT8, PRECISIONS, file_bytes
from ..engine.export.unet import OnnxUNet, export_unet
from ..engine.sampling.compact_unet import build_unet
from ..engine.sampling.told import told_by_metadata
from ..engine.sampling.weights import read_weights
from ..training.files import open_judge
from ..training.generate import Family
from ..training.unet import CONTEXT, LATENT_SIDE
from .demo_hints import Hinted
from .distillation_draw import COMPACT, PLAIN, Row, Scores, Studio, drawn, scores
from .distillation_figures import (
    FEW,
    TWO_PHASE,
    Figures,
    adherence_of,
    first,
    ratio,
    with_ends,
)
from .parts import Result
from .statistics import resamples

__all__ = ["KEPT"]
ROWS = tuple(Row(TWO_PHASE, FEW, nets) for nets in (PLAIN, COMPACT))
TOKENS = 77


def int8_drawn(studio: Studio, row: Row, case: Hinted, seed: int) -> Result:
    """Scores of the 8-bit model's pictures, and how far each is from the 32-bit model's.

    far: mean absolute difference of a picture's values of 0..255.
    """
    ours = drawn(studio, row, case, seed, _family(studio, INT8))
    theirs = drawn(studio, row, case, seed, _family(studio, FP32))
    far = 255 * (ours - theirs).abs().mean((1, 2, 3))
    return {
        "scores": scores(open_judge(), row, case, ours),
        "fp32": scores(open_judge(), row, case, theirs),
        "far": far.tolist(),
    }


def int8_cost(studio: Studio, rounds: int, _: Mapping[str, Result]) -> Result:
    """Bytes of both files, and seconds of one call for one picture; PyTorch's beside them."""
    given = torch.randn(1, 4, LATENT_SIDE, LATENT_SIDE), torch.tensor([499])
    context = torch.randn(1, TOKENS, CONTEXT)
    unets = {one: _family(studio, one).unet for one in PRECISIONS}
    unets["torch"] = studio.family(TWO_PHASE).unet
    seconds: dict[str, list[float]] = {name: [] for name in unets}
    for turn in range(rounds + 1):
        for name in list(unets)[:: 1 if turn % 2 else -1]:
            began = time.perf_counter()
            with torch.no_grad():
                unets[name](*given, context, return_dict=False)
            if turn:  # the first warms up
                seconds[name].append(time.perf_counter() - began)
    taken = {name: statistics.median(each) for name, each in seconds.items()}
    return {"bytes": exported_bytes(studio), "s": taken}


def exported_bytes(studio: Studio) -> dict[str, int]:
    return {one: file_bytes(_exported(studio.unet_file(TWO_PHASE), one)) for one in PRECISIONS}


def int8_figures(blocks: Mapping[str, list[Result]], renders: Mapping[str, Scores]) -> Figures:
    """Of parts without and with hints, by the name of their ControlNets.

    Args:
        renders: what true pictures score, by the same names.
    """
    figures: Figures = {}
    ratios: dict[str, float] = {}
    for nets, parts in blocks.items():
        ours, theirs = (_joined(part[side] for part in parts) for side in ("scores", "fp32"))
        count = len(ours["things"])
        true, weights = first(renders[nets], count), resamples(count)
        sides = [adherence_of(side, true, weights) for side in (ours, theirs)]
        values = ratio(*sides)
        figures |= with_ends(f"int8_adherence_ratio_{nets}", values)
        ratios[nets] = float(values[0])
        far = [value for part in parts for value in part["far"]]
        figures[f"int8_pixel_difference_{nets}"] = float(np.mean(far))
    if len(ratios) == len(ROWS) and np.isfinite([*ratios.values()]).all():
        figures["int8_adherence_ratio"] = min(ratios.values())
    return figures


def cost_figures(cost: Result) -> Figures:
    size, seconds = cost["bytes"], cost["s"]
    return {
        "int8_size_ratio": size[INT8] / size[FP32],
        "int8_time_ratio": seconds[INT8] / seconds[FP32],
        **{f"bytes_{one}": float(size[one]) for one in PRECISIONS},
        **{f"call_ms_{name}": 1000 * taken for name, taken in seconds.items()},
    }


@cache
def _place() -> tempfile.TemporaryDirectory[str]:
    """Of the exported files; gone when the process ends."""
    return tempfile.TemporaryDirectory(prefix="tandem_export_")


@cache
def _exported(weights: Path, precision: str) -> Path:
    hush()
    tensors, told = read_weights(weights)
    full = {key: value.float() for key, value in tensors.items()}
    model = build_unet(full, **told_by_metadata(told)).model
    file = Path(_place().name) / f"{precision}.onnx"
    export_unet(model.diffusion_model, file, precision)
    return file


@cache
def _network(file: Path) -> OnnxUNet:
    return OnnxUNet(file)


def _family(studio: Studio, precision: str) -> Family:
    """The two-phase member's, its UNet from an ONNX file."""
    family = studio.family(TWO_PHASE)
    unet = _network(_exported(studio.unet_file(TWO_PHASE), precision))
    return Family(unet, family.text, family.autoencoder)


def _joined(parts: Iterable[Scores]) -> Scores:
    rows = [*parts]
    return {key: [value for row in rows for value in row[key]] for key in rows[0]}
