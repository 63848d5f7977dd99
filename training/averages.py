"""What is trained and its moving average in one file: both are needed to go on, one is shipped."""

from __future__ import annotations

from torch import Tensor
from torch.nn import Module

from .run import Average, Run

AVERAGE = "average."  # prefix of the averaged weights in a file


def averaged(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(AVERAGE): v for k, v in tensors.items() if k.startswith(AVERAGE)}


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
    return start_from(module, current(tensors), averaged(tensors), decay)


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
