"""The user's own models in this process, for `tandem calibrate`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..engine.errors import BadInput


def open_models(
    checkpoint: Path, nets: Mapping[str, Path], prompts: tuple[str, str]
) -> tuple[Any, Any, list[Any], dict[str, Any]]:
    """MODEL, VAE, the encoded prompts (positive, negative), and a ControlNet a detector.

    Raises:
        BadInput: a file that is missing, or is none of these.
    """
    import comfy.controlnet
    import comfy.sd

    for path in (checkpoint, *nets.values()):
        if not path.is_file():
            raise BadInput("model file", str(path), "give a file that is there")
    model, clip, vae, *_ = comfy.sd.load_checkpoint_guess_config(str(checkpoint))
    if model is None or clip is None or vae is None:
        do = "give a whole checkpoint: UNet, text encoder and VAE in one file"
        raise BadInput("checkpoint", str(checkpoint), do)
    opened = {name: comfy.controlnet.load_controlnet(str(path)) for name, path in nets.items()}
    for name, net in opened.items():
        if net is None:
            raise BadInput(f"ControlNet for {name}", str(nets[name]), "give a ControlNet's file")
    sides = [clip.encode_from_tokens_scheduled(clip.tokenize(text)) for text in prompts]
    return model, vae, sides, opened
