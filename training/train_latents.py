"""Stage `latents`: every rendered scene through the frozen autoencoder, once."""

from __future__ import annotations

import torch
from safetensors.torch import load_file, save_file

from .run import Setting
from .shards import SEEN, SHARD, UNSEEN, shards, write_shard
from .train_autoencoder import as_signal, load_autoencoder

SHARDS, UNSEEN_SHARDS = 32, 4  # thousands of scenes that a real run renders
SMOKE_SCENES = 60


def train(setting: Setting) -> None:
    model = load_autoencoder(setting)
    render_scenes(setting)
    for path in shards(setting.folder):
        out = setting.folder / "latents" / path.name
        if out.exists():
            continue
        pictures = load_file(path)["picture"]
        with torch.no_grad():
            parts = [model.moments(as_signal(part))[0] for part in pictures.split(50)]
        latents = torch.cat([part.cpu() for part in parts]).contiguous()
        out.parent.mkdir(parents=True, exist_ok=True)
        partial = out.with_suffix(".part")
        save_file({"latent": latents}, partial)
        partial.replace(out)
        print(f"latents: {out.name} std {latents.std():.3f}", flush=True)  # noqa: T201


def render_scenes(setting: Setting) -> None:
    """Stage `scenes`; shards that are there stay."""
    size = SMOKE_SCENES if setting.smoke else SHARD
    for kind, count in ((SEEN, SHARDS), (UNSEEN, UNSEEN_SHARDS)):
        for shard in range(1 if setting.smoke else count):
            write_shard(setting.folder, shard, size, kind)
