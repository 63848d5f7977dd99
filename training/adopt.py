"""Stage `adopt`: the shipped fp16 files as the weights that every other stage resumes from."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from .export import CONTROL_NETS, control_file
from .files import JUDGE, SHIPPED, open_control_net, open_family, open_judge
from .hints import KINDS
from .judge import NAME as READER
from .run import Setting, load_weights, save_weights
from .text import NAME as TEXT
from .train_autoencoder import NAME as AUTOENCODER
from .train_unet import AVERAGE


def train(setting: Setting) -> None:
    """Undo `export`; weights that are in the folder already stay as they are.

    Only averages are shipped, so training goes on from them, in fp16's precision.
    """
    adopt(setting, SHIPPED, JUDGE)


def adopt(setting: Setting, family_folder: Path, judge_file: Path) -> None:
    family = open_family(family_folder)
    found = {
        "unet_full": (family_folder / "unet.safetensors", _twice(family.unet.state_dict())),
        TEXT: (family_folder / "text_encoder.safetensors", family.text.state_dict()),
        AUTOENCODER: (family_folder / "vae.safetensors", family.autoencoder.state_dict()),
        READER: (judge_file, open_judge(judge_file).state_dict()),
    }
    for kind in KINDS:
        path = family_folder / CONTROL_NETS / control_file(kind)
        if path.exists():
            net = open_control_net(family, kind, family_folder)
            found[f"control_{kind}"] = (path, _twice(net.state_dict()))
    for name, (path, tensors) in found.items():
        if not setting.weights(name).exists():
            told = load_weights(path)[1]
            done = {key: told[key] for key in ("cpu_s", "samples")}
            save_weights(setting.weights(name), tensors, done)


def _twice(average: dict[str, Tensor]) -> dict[str, Tensor]:
    """Trained weights and their average, which start as the same."""
    return average | {AVERAGE + key: value.clone() for key, value in average.items()}
