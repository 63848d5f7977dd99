"""One ONNX network, loaded: arrays in, arrays out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...commands import command
from ...errors import BadInput

THREADS = 2  # more gain little on nets of this size, and starve the sampler


class Network:
    """An open ONNX file. Safe to run from several threads at once.

    Raises:
        BadInput: the file is no ONNX network, or not one this runtime can run.
        ImportError: onnxruntime is not installed.
    """

    def __init__(self, path: Path) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = THREADS
        options.inter_op_num_threads = 1
        # Spinning threads burn half as much CPU again and are no quicker (measured on ADE20K).
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            self._session: Any = ort.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its own classes, which all derive from Exception
            do = f"{type(error).__name__} on opening: check it with {command('models verify')}"
            raise BadInput("weights file", path.name, do) from error
        self.name = path.name
        self.inputs: tuple[str, ...] = tuple(one.name for one in self._session.get_inputs())
        self.shape: tuple[int | str | None, ...] = tuple(self._session.get_inputs()[0].shape)

    def __call__(self, first: NDArray[Any]) -> list[NDArray[Any]]:
        """All outputs for the one input.

        Raises:
            BadInput: the network does not take an array of this shape and type.
        """
        try:
            found = self._session.run(None, {self.inputs[0]: np.ascontiguousarray(first)})
        except Exception as error:
            do = f"given {first.dtype} {first.shape}, it wants {self.shape}: is it another network?"
            raise BadInput("network", self.name, do) from error
        return [np.asarray(one) for one in found]
