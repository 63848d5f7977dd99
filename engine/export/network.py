"""An ONNX file, open: tensors in, tensors out, on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import BadInput, Unavailable

PROVIDER = "CPUExecutionProvider"


class OnnxNetwork:
    """A session of onnxruntime, with as many threads as PyTorch has here.

    Weights in 8 bits are made 32 bits again once, on opening: then a call takes the time of the
    32-bit file's, and its memory.
    Raises:
        Unavailable: the file or the package is not there.
        BadInput: the file is none that this onnxruntime can run.
    """

    def __init__(self, file: Path) -> None:
        if not file.is_file():
            raise Unavailable("exported network", str(file), "export it with `tandem export`")
        try:
            import onnxruntime
        except ModuleNotFoundError as error:
            raise Unavailable("package", "onnxruntime", "pip install onnxruntime") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.inter_op_num_threads = 1
        # threads that spin take the cores from PyTorch, which computes between two calls
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        options.log_severity_level = 3
        try:
            self._session: Any = onnxruntime.InferenceSession(str(file), options, [PROVIDER])
        except Exception as error:  # its own classes, which all derive from Exception
            raise BadInput("exported network", f"{file.name}: {error}", "export it anew") from error
        self.shapes: dict[str, tuple[int | str, ...]] = {
            one.name: tuple(one.shape) for one in self._session.get_inputs()
        }  # free axes have names

    def __call__(self, given: Mapping[str, Tensor]) -> list[Tensor]:
        """All outputs, float32 on the CPU, for tensors by the names of the graph's inputs.

        Raises:
            BadInput: tensors of other shapes than the graph takes.
        """
        arrays = {name: _array(value) for name, value in given.items()}
        try:
            found = self._session.run(None, arrays)
        except Exception as error:
            shapes = {name: value.shape for name, value in arrays.items()}
            raise BadInput("input of an exported network", shapes, f"{error}") from error
        return [torch.from_numpy(np.asarray(one)) for one in found]


def _array(value: Tensor) -> Any:
    return value.detach().to("cpu", torch.float32).contiguous().numpy()
