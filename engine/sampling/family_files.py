"""What lies where in the demo family's folder. Needs neither ComfyUI nor PyTorch."""

from __future__ import annotations

from pathlib import Path

UNET, TEXT, VAE = "unet.safetensors", "text_encoder.safetensors", "vae.safetensors"
CONTROL_NETS, DECODERS = "controlnet", "vae_approx"  # folders that ComfyUI can list
DECODER = "tandem_demo_decoder"  # of TAESD's layout


def unet_file(member: str) -> str:
    """Of a compact or few-step member."""
    return f"unet_{member}.safetensors"


def unet_members(folder: Path) -> list[str]:
    """Members whose files are there."""
    return sorted(path.stem.removeprefix("unet_") for path in folder.glob(unet_file("*")))


def control_file(kind: str, compact: bool = False) -> str:
    """A ControlNet's name in ComfyUI's lists."""
    return f"tandem_demo_{'compact_' if compact else ''}{kind}.safetensors"


def decoder_file(folder: Path) -> Path:
    return folder / DECODERS / f"{DECODER}.safetensors"
