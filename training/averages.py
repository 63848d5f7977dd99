"""What is trained and its moving average in one file: both are needed to go on, one is shipped."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor
from torch.nn import Module

from ..engine.errors import BadInput
from .run import Average, Run, load_weights

AVERAGE = "average."  # prefix of the averaged weights in a file


def averaged(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(AVERAGE): v for k, v in tensors.items() if k.startswith(AVERAGE)}


def load_averaged(path: Path) -> dict[str, Tensor]:
    """The averages of a trainer's file.

    Raises:
        Unavailable: there is no such file.
        BadInput: it has none, as the files that are made to be used.
    """
    return _averaged(load_weights(path)[0], path)


def _averaged(tensors: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    found = averaged(tensors)
    if not found:
        do = "put the trainer's own file there, not one that was made to be used, as in models/"
        raise BadInput("file of trained weights", f"{path}, without averages", do)
    return found


def current(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: value for key, value in tensors.items() if not key.startswith(AVERAGE)}


def start_average(run: Run, module: Module, decay: float, *, young: bool) -> Average:
    """The average of a module on its device; both as an earlier call of the run left them.

    young: whether weights that no earlier call left are worth nothing yet.
    """
    own = run.setting.weights(run.name)
    if not own.exists():
        return Average(module, decay, young)
    tensors = run.resume(own)
    return start_from(module, current(tensors), _averaged(tensors, own), decay)


def start_from(
    module: Module, weights: dict[str, Tensor], mean: dict[str, Tensor], decay: float
) -> Average:
    """Trained weights into the module; their average, which is no young one."""
    module.load_state_dict(weights)
    average = Average(module, decay, young=False)
    for name, value in average.values.items():
        value.copy_(mean[name])
    return average


def save(run: Run, module: Module, average: Average) -> None:
    mean = {AVERAGE + name: value for name, value in average.values.items()}
    run.save({**module.state_dict(), **mean})
