"""What the judge learns from: rendered scenes, small, and some as the autoencoder shows them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from safetensors import safe_open
from torch import Tensor
from torch.nn import functional as F

from .judge import CELL, SHRINK, THING
from .run import Setting
from .scenes import Scenes
from .shards import HELD_OUT, SEEN, UNSEEN, shard_scenes, shards
from .train_autoencoder import as_signal, load_autoencoder
from .words import FIGURE

DECODED = {SEEN: 1500, UNSEEN: 250}  # reconstructions with noise
LATENT_NOISE = 0.3  # the most of it
KEYS = ("segment", "depth", "tokens", "keypoints")


@dataclass(slots=True)
class JudgeData:
    """Of N scenes: those the generator trains on, then held-out pairs, which it never sees.

    The judge reads both, else a figure of held-out pairs would be the judge's own error.
    pictures [N, 3, 64, 64]; maps: segment, depth [N, 32, 32], tokens, keypoints; labels as in
    `thing_labels`; the first `held` scenes are not trained on; decoded [M, 3, 64, 64] are
    pictures of scenes `decoded_rows` [M] that went through the autoencoder.
    """

    pictures: Tensor
    maps: dict[str, Tensor]
    labels: dict[str, Tensor]
    held: int
    decoded: Tensor
    decoded_rows: Tensor


def judge_data(setting: Setting) -> JudgeData:
    """Shard by shard, so that whole pictures never lie in memory all at once."""
    pictures: list[Tensor] = []
    parts: list[dict[str, Tensor]] = []
    decoded: list[Tensor] = []
    rows: list[Tensor] = []
    count = held = 0
    middle = slice(CELL // 2, None, CELL)
    for kind in (SEEN, UNSEEN):
        wanted = DECODED[kind]
        for path in shards(setting.folder, kind):
            with safe_open(path, "pt") as file:
                whole = file.get_tensor("picture")
                part = {key: file.get_tensor(key) for key in KEYS}
            for key in ("segment", "depth"):
                part[key] = part[key][:, middle, middle].clone()
            if not pictures:
                held = min(HELD_OUT, len(whole) // 2)
            chosen = torch.arange(held if not pictures else 0, len(whole))[:wanted]
            if len(chosen):
                decoded.append(_decoded(setting, whole[chosen]))
                rows.append(chosen + count)
                wanted -= len(chosen)
            pictures.append(F.avg_pool2d(whole.float(), SHRINK).round().byte())
            parts.append(part | thing_labels(shard_scenes(int(path.stem), len(whole), kind)))
            count += len(whole)
    joined = {key: torch.cat([part[key] for part in parts]) for key in parts[0]}
    maps = {key: joined.pop(key) for key in KEYS}
    return JudgeData(torch.cat(pictures), maps, joined, held, torch.cat(decoded), torch.cat(rows))


def thing_labels(scenes: Scenes) -> dict[str, Tensor]:
    """Class of every head for whole scenes; the last class where nothing stands."""
    labels = {"scene": scenes.scene}
    for key, classes in THING.items():
        shown = scenes.present & (scenes.shape == FIGURE) if key == "pose" else scenes.present
        labels[key] = torch.where(shown, getattr(scenes, key), classes)
    return labels


@torch.no_grad()
def _decoded(setting: Setting, pictures: Tensor) -> Tensor:
    """[N, 3, 64, 64] bytes: reconstructions from latents with noise."""
    autoencoder = load_autoencoder(setting)
    parts: list[Tensor] = []
    for part in pictures.split(50):
        latents = autoencoder.moments(as_signal(part.to(setting.device)))[0]
        amount = LATENT_NOISE * torch.rand(len(part), 1, 1, 1, device=latents.device)
        shown = autoencoder.decode(latents + amount * torch.randn_like(latents))
        shown = F.avg_pool2d((shown.clamp(-1, 1) + 1) * 127.5, SHRINK)
        parts.append(shown.round().byte().cpu())
    return torch.cat(parts)
