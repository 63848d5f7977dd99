"""The user's own models in this process, for `tandem calibrate`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..engine.errors import BadInput
from ..engine.sampling.reading import reading


def open_models(
    checkpoint: Path, nets: Mapping[str, Path], prompts: tuple[str, str]
) -> tuple[Any, Any, list[Any], dict[str, Any]]:
    """MODEL, VAE, the encoded prompts (positive, negative), and a ControlNet a detector.

    Raises:
        BadInput: a file that is missing, broken, or none of these.
    """
    import comfy.controlnet
    import comfy.sd

    for path in (checkpoint, *nets.values()):
        if not path.is_file():
            raise BadInput("model file", str(path), "give a file that is there")
    do = "give a whole checkpoint: UNet, text encoder and VAE in one file"
    with reading("checkpoint", checkpoint, do):
        model, clip, vae, *_ = comfy.sd.load_checkpoint_guess_config(str(checkpoint))
    if model is None or clip is None or vae is None:
        raise BadInput("checkpoint", str(checkpoint), do)
    opened: dict[str, Any] = {}
    for name, path in nets.items():
        what, do = f"ControlNet for {name}", "give a ControlNet's whole file"
        with reading(what, path, do):
            opened[name] = comfy.controlnet.load_controlnet(str(path))
        if opened[name] is None:
            raise BadInput(what, str(path), do)
    sides = [clip.encode_from_tokens_scheduled(clip.tokenize(text)) for text in prompts]
    return model, vae, sides, opened
