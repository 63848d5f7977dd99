"""Rendered scenes on disk, in shards of a thousand that every later stage reads."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from .captions import caption
from .render import render
from .scenes import Scenes, sample_scenes, shard_seed
from .words import token_rows

SHARD, CAPTIONS = 1000, 2
SEEN, UNSEEN = "scenes", "unseen"  # what models train on; held-out pairs, for the judge alone
SEEDS = {SEEN: 1, UNSEEN: 7}
HELD_OUT = 256  # scenes at the start of shard 0 that no stage trains on


def shard_path(folder: Path, shard: int, kind: str = SEEN) -> Path:
    return folder / kind / f"{shard:03d}.safetensors"


def shard_scenes(shard: int, size: int = SHARD, kind: str = SEEN) -> Scenes:
    return sample_scenes(size, shard_seed(SEEDS[kind], shard), unseen=kind == UNSEEN)


def write_shard(folder: Path, shard: int, size: int = SHARD, kind: str = SEEN) -> Path:
    """Render shard `shard`, unless it is there: pictures, maps, keypoints and caption tokens."""
    path = shard_path(folder, shard, kind)
    if path.exists():
        return path
    seed, scenes = shard_seed(SEEDS[kind], shard), shard_scenes(shard, size, kind)
    parts = [_maps(scenes, slice(at, at + 50)) for at in range(0, size, 50)]
    tensors = {key: torch.cat([part[key] for part in parts]) for key in parts[0]}
    told = [
        [token_rows(caption(scenes, row, seed + turn).words) for turn in range(CAPTIONS)]
        for row in range(size)
    ]
    tensors["tokens"] = torch.tensor(told, dtype=torch.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    save_file(tensors, partial)
    partial.replace(path)
    return path


def _maps(scenes: Scenes, rows: slice) -> dict[str, Tensor]:
    truth = render(scenes[rows])
    return {
        "picture": (truth.picture * 255).round().byte(),
        "depth": (truth.depth * 255).round().byte(),
        "segment": truth.segment.byte(),
        "surface": truth.surface.byte(),
        "keypoints": truth.keypoints,
    }


def shards(folder: Path, kind: str = SEEN) -> list[Path]:
    """The shards of a kind that are there, in order."""
    return sorted((folder / kind).glob("[0-9]*.safetensors"))


def load_shards(folder: Path, kind: str, keys: tuple[str, ...]) -> dict[str, Tensor]:
    """All shards of a kind, joined; nothing but `keys` is read."""
    parts: list[dict[str, Tensor]] = []
    for path in shards(folder, kind):
        with safe_open(path, "pt") as file:
            parts.append({key: file.get_tensor(key) for key in keys})
    return {key: torch.cat([part.pop(key) for part in parts]) for key in keys}
