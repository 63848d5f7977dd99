"""Weights in 8 bits, by onnxruntime's own quantiser; what flows between layers stays in 32.

Each output channel has a scale of its own: one for a whole weight costs the small channels their
bits. Activations in 8 bits would need ranges that differ from step to step.
"""

from __future__ import annotations

import math
from typing import Any

CHANNEL_AXIS = {"Conv": 0, "Gemm": 0, "MatMul": 1}  # of the weight, which is the second input
FEWEST = 1024  # values; smaller weights are not worth a layer


def with_int8_weights(model: Any, exact: tuple[str, ...]) -> Any:
    """The ONNX model, changed in place: its weights as int8, a DequantizeLinear behind each.

    Args:
        exact: beginnings of the names of those that stay as they are.
    """
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
    from onnxruntime.quantization.quant_utils import add_infer_metadata

    add_infer_metadata(model)  # shapes are not asked for: weights alone are quantised
    quantizer = QDQQuantizer(
        model, per_channel=True, reduce_range=False, weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QUInt8, tensors_range=None, nodes_to_quantize=[],
        nodes_to_exclude=[], op_types_to_quantize=[],
        extra_options={"QDQDisableWeightAdjustForInt32Bias": True},
    )  # fmt: skip
    sizes = {one.name: _count(one.dims) for one in model.graph.initializer}
    for node in model.graph.node:
        weight = node.input[1] if node.op_type in CHANNEL_AXIS else ""
        if sizes.get(weight, 0) >= FEWEST and not weight.startswith(exact):
            quantizer.quantize_weight_tensor_per_channel(weight, _axis(node))
    return quantizer.quantize_model()


def _axis(node: Any) -> int:
    """Where the output channels of the node's weight are."""
    if node.op_type == "Gemm" and not any(a.name == "transB" and a.i for a in node.attribute):
        return 1
    return CHANNEL_AXIS[node.op_type]


def _count(dims: Any) -> int:
    return math.prod(dims)
