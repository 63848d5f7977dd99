"""Stage `adopt`: the shipped fp16 files as the weights that every other stage resumes from."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from torch import Tensor
from torch.nn import Module

from ..engine.sampling.family_files import (
    CONTROL_NETS,
    TEXT,
    VAE,
    control_file,
    decoder_file,
)
from .averages import AVERAGE
from .files import (
    JUDGE,
    SHIPPED,
    open_compact_control_net,
    open_control_net,
    open_family,
    open_judge,
    open_tiny_decoder,
    open_unet,
)
from .hints import KINDS
from .judge import NAME as READER
from .members import UNETS
from .run import Setting, load_weights, save_weights
from .text import NAME as TEXT_ENCODER
from .train_autoencoder import NAME as AUTOENCODER
from .train_compact_control import weights_name
from .train_tiny_decoder import NAME as TINY_DECODER


def train(setting: Setting) -> None:
    """Undo `export`; weights that are in the folder already stay as they are.

    Only averages are shipped, so training goes on from them, in fp16's precision.
    """
    adopt(setting, SHIPPED, JUDGE)


def adopt(setting: Setting, family_folder: Path, judge_file: Path) -> None:
    family = open_family(family_folder)
    found = {
        TEXT_ENCODER: (family_folder / TEXT, family.text.state_dict()),
        AUTOENCODER: (family_folder / VAE, family.autoencoder.state_dict()),
        READER: (judge_file, open_judge(judge_file).state_dict()),
    }
    averages: dict[str, tuple[Path, Callable[[], Module]]] = {
        member.weights: (family_folder / member.file, partial(open_unet, family_folder, name))
        for name, member in UNETS.items()
    }
    for kind in KINDS:
        full, compact = (
            family_folder / CONTROL_NETS / control_file(kind, compact) for compact in (False, True)
        )
        averages[f"control_{kind}"] = full, partial(open_control_net, family, kind, family_folder)
        opened = partial(open_compact_control_net, kind, family_folder)
        averages[weights_name(kind)] = compact, opened
    decoder = partial(open_tiny_decoder, family_folder)
    averages[TINY_DECODER] = decoder_file(family_folder), decoder
    for name, (path, opened) in averages.items():
        if path.exists():
            found[name] = path, _twice(opened().state_dict())
    for name, (path, tensors) in found.items():
        if not setting.weights(name).exists():
            told = load_weights(path)[1]
            done = {key: told[key] for key in ("cpu_s", "samples")}
            save_weights(setting.weights(name), tensors, done)


def _twice(average: dict[str, Tensor]) -> dict[str, Tensor]:
    """Trained weights and their average, which start as the same."""
    return average | {AVERAGE + key: value.clone() for key, value in average.items()}
