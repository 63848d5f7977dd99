"""A pretrained model of SD1.5's kind as a teacher, and students that start from its parts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..engine.errors import BadInput, Unavailable
from ..engine.sampling.reading import reading
from ..engine.sampling.told import told_by_configs
from .libraries import AutoencoderKL, CLIPTextModel, CLIPTokenizer, UNet2DConditionModel
from .run import save_weights
from .students import pruned
from .unet import blocks_of

SCHEDULE = {  # that training/diffusion.py has too
    "num_train_timesteps": 1000,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "prediction_type": "epsilon",
}
LATENT_CHANNELS = 4
BY_LEVEL = ("block_out_channels", "attention_head_dim", "num_attention_heads")


@dataclass(frozen=True, slots=True)
class Pretrained:
    """A pipeline's folder, as diffusers saves them, on a device.

    Raises:
        BadInput: a file, or a model that is not of SD1.5's kind.
        Unavailable: a part is missing.
    """

    folder: Path
    device: torch.device

    def __post_init__(self) -> None:
        if self.folder.is_file():
            do = "give a folder; diffusers' from_single_file(FILE).save_pretrained(DIR) makes one"
            raise BadInput("--model", str(self.folder), do)
        for part in ("unet", "text_encoder", "tokenizer", "vae"):
            if not (self.folder / part).is_dir():
                do = "give a pipeline's folder, as diffusers saves them"
                raise Unavailable("part of the model", str(self.folder / part), do)
        for key, wanted in SCHEDULE.items():
            if self.schedule.get(key, wanted) != wanted:
                raise BadInput(key, self.schedule[key], f"give a model with {wanted}, as SD1.5's")

    @property
    def schedule(self) -> dict[str, Any]:
        file = self.folder / "scheduler" / "scheduler_config.json"
        return _config(file) if file.is_file() else {}

    def unet(self, dtype: torch.dtype = torch.float32) -> UNet2DConditionModel:
        """Frozen.

        Raises:
            BadInput: a file that cannot be read, or a UNet with other inputs or blocks.
        """
        unet = self._part("unet", UNet2DConditionModel, torch_dtype=dtype)
        channels = unet.config["in_channels"]
        if channels != LATENT_CHANNELS:
            do = f"give a model that sees nothing but {LATENT_CHANNELS} latent channels: "
            raise BadInput("the teacher's in_channels", channels, f"{do}not one for inpainting")
        for key, wanted in blocks_of("full").items():
            given = unet.config[key]
            if (tuple(given) if isinstance(given, list) else given) != wanted:
                raise BadInput(f"the teacher's {key}", given, "give a model with SD1.5's blocks")
        return unet

    def text(self) -> CLIPTextModel:
        return self._part("text_encoder", CLIPTextModel)

    def tokenizer(self) -> CLIPTokenizer:
        return _read(CLIPTokenizer, self.folder / "tokenizer")

    def vae(self) -> AutoencoderKL:
        return self._part("vae", AutoencoderKL)

    def write(self, path: Path, weights: Mapping[str, Tensor], done: Mapping[str, str]) -> None:
        """A student's weights as an fp16 file that *Load Compact Model* opens."""
        config = _config(self.folder / "unet" / "config.json")
        heads = {key: str(value) for key, value in told_by_configs(config, None).items()}
        told = {**heads, **done, "prediction_type": "epsilon", "made_by": "tandem distill"}
        save_weights(path, {key: value.half() for key, value in weights.items()}, told)

    def _part(self, name: str, kind: Any, **how: Any) -> Any:
        """Frozen, on the device."""
        network = _read(kind, self.folder / name, **how)
        return network.eval().requires_grad_(False).to(self.device)


def student_of(teacher: UNet2DConditionModel, layout: str) -> UNet2DConditionModel:
    """A UNet of BK-SDM's layout base, small or tiny, to be trained, with the teacher's weights."""
    blocks = blocks_of(layout)
    levels = len(blocks["down_block_types"])
    # diffusers ignores what it has noted down as its own defaults, such as the middle block
    config = {key: value for key, value in teacher.config.items() if not key.startswith("_")}
    config |= blocks
    for key in BY_LEVEL:
        if isinstance(config.get(key), list | tuple):
            config[key] = config[key][:levels]
    student = UNet2DConditionModel.from_config(config)
    student.load_state_dict(pruned(teacher.state_dict(), student.state_dict()))
    return student.to(teacher.device).train()


def _read(kind: Any, folder: Path, **how: Any) -> Any:
    """Raises:
    BadInput: there is no whole file of that kind.
    """
    do = "give a pipeline's folder with whole files"
    if any(folder.glob("*.fp16.*")):
        do = "save it anew without a variant, by diffusers' from_pretrained(DIR, "
        do += 'variant="fp16").save_pretrained(OTHER), and give that folder'
    with reading("part of the model", folder, do):
        return kind.from_pretrained(folder, **how)


def _config(file: Path) -> dict[str, Any]:
    with reading("part of the model", file, "fetch it anew"):
        return json.loads(file.read_text("utf-8"))
