"""What to export, by name or path, opened as Load Compact Model opens it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import comfy.controlnet
import comfy.sd
from comfy.model_patcher import ModelPatcher

from ..control.positions import fit_of
from ..errors import BadInput, Unavailable
from ..sampling.diffusers_folder import is_diffusers_folder, load_diffusers_folder
from ..sampling.family import load_family
from ..sampling.family_files import CONTROL_NETS, unet_members
from ..sampling.guidance import has_guidance
from ..sampling.model_file import load_model_file
from ..sampling.origins import POSITIONS
from ..sampling.reading import reading
from ..sampling.tiny_decoder import load_tiny_decoder

DEMO, OWN = "demo", "own"
WHOLE = "give a whole model of SD1.5's kind, in diffusers' form or a safetensors file"


@dataclass(frozen=True, slots=True)
class Source:
    """name: what was asked for."""

    name: str
    model: ModelPatcher
    clip: comfy.sd.CLIP | None
    vae: comfy.sd.VAE | None

    @property
    def unet(self) -> Any:
        return self.model.model.diffusion_model

    @property
    def positions(self) -> tuple[int, ...]:
        return fit_of(self.unet, self.model.get_attachment(POSITIONS)).positions

    @property
    def latent_format(self) -> Any:
        return self.model.model.latent_format


def open_source(name: str, family: Path) -> Source:
    """A member of the demo family, a pipeline's folder in diffusers' form, or a safetensors file.

    Raises:
        Unavailable: there is none.
        BadInput: a kind of model that cannot be exported.
    """
    members = {DEMO: ""} | {f"{DEMO}-{member}": member for member in unet_members(family)}
    path = Path(name)
    if name in members:
        source = Source(name, *load_family(family, members[name]))
    elif path.is_dir() and is_diffusers_folder(path):
        with reading("model", path, WHOLE):
            source = Source(path.resolve().name, *load_diffusers_folder(path))
    elif path.is_file():
        with reading("model", path, WHOLE):
            source = Source(path.stem, *load_model_file(path))
    else:
        do = f"give one of {', '.join(members)}, a diffusers folder or a safetensors file"
        raise Unavailable("model", name, do)
    if has_guidance(source.model):
        do = "give one with its guidance built in, as LCM-LoRAs merged into a model have it"
        raise BadInput("model", "one distilled with a guidance to choose", do)
    return source


def open_control_net(name: str, family: Path) -> comfy.controlnet.ControlNet:
    """A file, or the name of one of the demo family's.

    Raises:
        Unavailable: there is none.
        BadInput: no ControlNet of SD1.5's kind, or a broken file.
    """
    own = family / CONTROL_NETS / f"{name.removesuffix('.safetensors')}.safetensors"
    path = own if own.is_file() else Path(name)
    if not path.is_file():
        raise Unavailable("ControlNet", name, "give its file")
    do = "give a whole file of SD1.5's kind"
    with reading("ControlNet", path, do):
        net = comfy.controlnet.load_controlnet(str(path))
    if type(net) is not comfy.controlnet.ControlNet:
        raise BadInput("ControlNet", name, do)
    return net


def open_decoder(wanted: str, source: Source) -> comfy.sd.VAE:
    """`own`: the model's; else a file of TAESD's layout.

    Raises:
        Unavailable: there is none.
        BadInput: a broken file.
    """
    if wanted != OWN:
        do = f"give {OWN}, or a whole file of TAESD's layout"
        if not Path(wanted).is_file():
            raise Unavailable("decoder", wanted, do)
        with reading("decoder", Path(wanted), do):
            return load_tiny_decoder(Path(wanted), source.latent_format)
    if source.vae is None:
        do = "it has none: give the file of a tiny decoder, or leave --decoder out"
        raise Unavailable("decoder", OWN, do)
    return source.vae
