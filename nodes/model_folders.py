"""Folders that the pack adds to ComfyUI's own, and where it keeps what is the user's."""

from __future__ import annotations

from pathlib import Path

import folder_paths

MODEL_PLACES = ("diffusion_models", "checkpoints")
LORAS = "loras"
DEMO = "demo"
FAMILY = Path(__file__).resolve().parents[1] / "demo_models"


def user_folder() -> Path:
    """Worker registry, profiles, made files: a folder that no HTTP route of ComfyUI reads."""
    return Path(folder_paths.get_system_user_directory("tandem"))


def offer_family_files() -> None:
    """Let ComfyUI list the demo family's ControlNets and find its tiny decoder."""
    from ..engine.sampling.family_files import CONTROL_NETS, DECODERS

    for place in (CONTROL_NETS, DECODERS):
        if (FAMILY / place).is_dir():
            folder_paths.add_model_folder_path(place, str(FAMILY / place))


def family_members() -> dict[str, str]:
    """The family's compact and few-step UNets that are there, by their name in lists."""
    from ..engine.sampling.family_files import unet_members

    return {f"{DEMO}-{member}": member for member in unet_members(FAMILY)}


def diffusers_folders() -> dict[str, Path]:
    """Pipelines in ComfyUI's folders of diffusers models, however deep, by their path there.

    The first of a name counts.
    """
    from ..engine.sampling.diffusers_folder import is_diffusers_folder

    found: dict[str, Path] = {}
    for place in map(Path, folder_paths.get_folder_paths("diffusers")):
        for folder in sorted(config.parents[1] for config in place.rglob("unet/config.json")):
            if folder != place and is_diffusers_folder(folder):
                found.setdefault(folder.relative_to(place).as_posix(), folder)
    return found


def model_files() -> list[str]:
    """Safetensors files in ComfyUI's folders of UNets and checkpoints, each behind its folder."""
    return [f"{place}/{name}" for place in MODEL_PLACES for name in _safetensors(place)]


def model_file(name: str) -> Path:
    """Where a file of this name lies, behind its folder's."""
    return Path(folder_paths.get_full_path_or_raise(*name.split("/", 1)))


def loras() -> list[str]:
    return _safetensors(LORAS)


def embedding_folders() -> list[str]:
    return folder_paths.get_folder_paths("embeddings")


def _safetensors(place: str) -> list[str]:
    names = folder_paths.get_filename_list(place)
    return [name for name in names if name.endswith((".safetensors", ".sft"))]


def tiny_decoder_file(name: str | None) -> Path | None:
    """The user's file for a latent format's `taesd_decoder_name`, where ComfyUI looks for it."""
    for file in folder_paths.get_filename_list("vae_approx") if name else ():
        if file.startswith(f"{name}."):
            return Path(folder_paths.get_full_path_or_raise("vae_approx", file))
    return None
