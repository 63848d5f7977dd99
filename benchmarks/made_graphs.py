"""Small ONNX files made on the spot, with the names and shapes of published ones."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FLOAT, BYTE = 1, 2  # element types of ONNX
Sides = Sequence[int | str]
MIDAS: Sides = (1, 3, 256, 256)
U2NET: Sides = ("batch", 3, 320, 320)


def write_published(folder: Path) -> None:
    """Every network that detectors run as ONNX and that is not at hand: its name, its shapes."""
    write_depth_anything(folder / "depth_anything_v2_small.onnx")
    write_mean(folder / "model-small.onnx", "0", MIDAS, "797", [1, 256, 256])
    write_mean(folder / "u2netp.onnx", "input.1", U2NET, "1959", ["batch", 1, 320, 320], keep=True)
    write_dwpose(folder, [(40, 40, 0.9)])


def write_depth_anything(file: Path) -> None:
    sides = ["batch", 3, "height", "width"]
    write_mean(file, "pixel_values", sides, "predicted_depth", ["batch", "height", "width"])


def write_dwpose(folder: Path, boxes: list[tuple[int, int, float]]) -> None:
    """Boxes of 80 x 160 pixels at cells (row, column) of the finest grid, with a score."""
    found = np.zeros((1, 8400, 85), np.float32)
    for row, column, score in boxes:
        found[0, row * 80 + column] = [0, 0, np.log(80 / 8), np.log(160 / 8), score, 1, *[0] * 79]
    write_constants(folder / "yolox_l.onnx", "images", [1, 3, 640, 640], {"output": found})
    across, down = np.zeros((1, 133, 576), np.float32), np.zeros((1, 133, 768), np.float32)
    for point in range(133):
        across[0, point, 2 * (point + 60)] = down[0, point, 2 * (2 * point + 30)] = 0.9
    shape = [1, 3, 384, 288]
    outputs = {"simcc_x": across, "simcc_y": down}
    write_constants(folder / "dw-ll_ucoco_384.onnx", "input", shape, outputs)


def write_mean(
    path: Path, name: str, shape: Sides, out: str, out_shape: Sides, keep: bool = False
) -> None:
    """A network that averages the channels of [n, c, h, w]."""
    node = _node("ReduceMean", [name], [out], axes=[1], keepdims=int(keep))
    path.write_bytes(_model([node], [], [(name, shape, FLOAT)], [(out, out_shape, FLOAT)]))


def write_constants(path: Path, name: str, shape: Sides, outputs: dict[str, NDArray[Any]]) -> None:
    """A network that answers the same, whatever it is given."""
    nodes = [_node("Identity", [f"{out}_value"], [out]) for out in outputs]
    values = [_tensor(f"{out}_value", value) for out, value in outputs.items()]
    told = [(out, value.shape, FLOAT) for out, value in outputs.items()]
    path.write_bytes(_model(nodes, values, [(name, shape, FLOAT)], told))


def write_identity(path: Path, shape: Sides, kind: int = FLOAT) -> None:
    """A network that hands on what it gets."""
    node = _node("Identity", ["in"], ["out"])
    path.write_bytes(_model([node], [], [("in", shape, kind)], [("out", shape, kind)]))


Told = tuple[str, Sides, int]


def _model(
    nodes: Sequence[bytes], values: Sequence[bytes], ins: Sequence[Told], outs: Sequence[Told]
) -> bytes:
    graph = b"".join(_part(1, node) for node in nodes) + _part(2, b"made")
    graph += b"".join(_part(5, value) for value in values)
    graph += b"".join(_part(11, _value(*one)) for one in ins)
    graph += b"".join(_part(12, _value(*one)) for one in outs)
    return _number(1, 8) + _part(7, graph) + _part(8, _part(1, b"") + _number(2, 13))


def _node(kind: str, ins: Sequence[str], outs: Sequence[str], **given: Any) -> bytes:
    body = b"".join(_part(1, name.encode()) for name in ins)
    body += b"".join(_part(2, name.encode()) for name in outs) + _part(4, kind.encode())
    for name, value in given.items():
        if isinstance(value, int):
            told = _number(3, value) + _number(20, 2)
        else:
            told = b"".join(_number(8, one) for one in value) + _number(20, 7)
        body += _part(5, _part(1, name.encode()) + told)
    return body


def _tensor(name: str, value: NDArray[Any]) -> bytes:
    dims = b"".join(_number(1, side) for side in value.shape)
    raw = np.ascontiguousarray(value, np.float32).tobytes()
    return dims + _number(2, FLOAT) + _part(8, name.encode()) + _part(9, raw)


def _value(name: str, shape: Sides, kind: int) -> bytes:
    dims = b"".join(
        _part(1, _number(1, side) if isinstance(side, int) else _part(2, side.encode()))
        for side in shape
    )
    tensor = _number(1, kind) + _part(2, dims)
    return _part(1, name.encode()) + _part(2, _part(1, tensor))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _part(field: int, body: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(body)) + body


def _varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += struct.pack("B", value & 0x7F | 0x80)
        value >>= 7
    return out + struct.pack("B", value)
