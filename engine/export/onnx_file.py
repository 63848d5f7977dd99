"""A graph as an ONNX file, its weights in 32 bits or in 8."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.jit._trace import TracerWarning

from ..errors import BadInput, Unavailable
from .attention import DOMAIN, one_operator
from .graph import Graph
from .int8 import with_int8_weights

FP32, INT8 = PRECISIONS = ("fp32", "int8")
OPSET = 17  # the first with LayerNormalization as one operator
ONE_FILE_BYTES = 1_900_000_000  # protobuf ends at 2 GiB: above, weights lie beside the file
DATA = ".data"


def write_onnx(graph: Graph, files: Mapping[str, Path]) -> None:
    """Trace the graph into a file a precision; weights of large networks lie in `<file>.data`.

    Tracing, not torch.export: it needs one package less, and the graphs branch on nothing.
    Raises:
        BadInput: another precision, or weights that are not of 32 bits.
        Unavailable: the package `onnx` is not installed.
    """
    if strange := set(files) - set(PRECISIONS):
        raise BadInput("precision", strange.pop(), f"choose one of {', '.join(PRECISIONS)}")
    kinds = {parameter.dtype for parameter in graph.module.parameters()}
    if kinds - {torch.float32}:
        raise BadInput("weights", kinds, "load the model in 32 bits, as on the CPU")
    onnx = import_onnx()
    with tempfile.TemporaryDirectory() as folder:
        traced = Path(folder) / "traced.onnx"
        _trace(graph, traced)
        model: Any = onnx.load(traced)  # weights of large networks lie beside it, a file each
        if FP32 in files:
            _save(onnx, model, files[FP32])
        if INT8 in files:
            _save(onnx, with_int8_weights(model, graph.exact), files[INT8])


def import_onnx() -> Any:
    try:
        import onnx
    except ModuleNotFoundError as error:
        raise Unavailable("package", "onnx", "pip install onnx") from error
    return onnx


def _trace(graph: Graph, file: Path) -> None:
    graph.module.training = False  # the wrapper's; the exporter gives its mode to all within
    with torch.no_grad(), one_operator(graph.module) as found, warnings.catch_warnings():
        # channels and layers are the same on every call, which is what these warn of
        warnings.simplefilter("ignore", TracerWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            graph.module,
            tuple(graph.example.values()),
            str(file),
            input_names=list(graph.example),
            output_names=list(graph.outputs),
            dynamic_axes=graph.axes(),
            opset_version=OPSET,
            custom_opsets={DOMAIN: 1} if found else {},
            dynamo=False,
        )


def _save(onnx: Any, model: Any, file: Path) -> None:
    size = sum(len(one.raw_data) for one in model.graph.initializer)
    beside = file.with_name(file.name + DATA)
    for old in (file, beside):
        old.unlink(missing_ok=True)  # weights would be appended
    onnx.save_model(
        model, str(file), save_as_external_data=size > ONE_FILE_BYTES, location=beside.name
    )


def file_bytes(file: Path) -> int:
    """Of an ONNX file and the weights beside it."""
    beside = file.with_name(file.name + DATA)
    return sum(one.stat().st_size for one in (file, beside) if one.is_file())
