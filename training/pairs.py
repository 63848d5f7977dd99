"""Pictures with captions, encoded once: latents and text embeddings in shards on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from safetensors.torch import load_file
from torch import Tensor

from ..engine.errors import BadInput, Unavailable
from ..engine.sampling.checksum import weights_crc32
from .libraries import DiagonalGaussianDistribution
from .pretrained import Pretrained
from .run import load_metadata, save_weights

PICTURES = {".png", ".jpg", ".jpeg", ".webp"}
SHARD, AT_ONCE = 512, 8  # pairs a file, and through the autoencoder
EMPTY = "empty"  # the shard of the caption without words; there when all others are
OF = "of"  # key of a shard's metadata: what it was made of


def find_pairs(folder: Path) -> list[Path]:
    """Pictures, however deep, with a caption of the same name and `.txt` beside them.

    Raises:
        BadInput: there is none.
    """
    pictures = (path for path in sorted(folder.rglob("*")) if path.suffix.lower() in PICTURES)
    found = [path for path in pictures if path.with_suffix(".txt").is_file()]
    if not found:
        do = "put pictures there, a .txt with the caption beside each"
        raise BadInput("--pairs", str(folder), do)
    return found


def encode_pairs(model: Pretrained, pictures: list[Path], out: Path, px: int) -> None:
    """Write shards into `out`; those that are there, of the same pairs, models and size, stay.

    The middle square of every picture, scaled to `px`.
    Raises:
        BadInput: a picture or caption that cannot be read.
    """
    captions = [_caption(picture) for picture in pictures]
    empty = out / f"{EMPTY}.safetensors"
    empty.unlink(missing_ok=True)
    text, tokenizer, vae = model.text(), model.tokenizer(), model.vae()
    encoders = [weights_crc32(network.state_dict()) for network in (text, vae)]

    @torch.no_grad()
    def embedded(captions: list[str]) -> Tensor:
        tokens = tokenizer(
            captions, padding="max_length", truncation=True, max_length=77, return_tensors="pt"
        )
        return text(tokens.input_ids.to(model.device)).last_hidden_state.half()

    kept: set[Path] = set()
    for number, at in enumerate(range(0, len(pictures), SHARD)):
        some, said = pictures[at : at + SHARD], captions[at : at + SHARD]
        path, of = out / f"{number:05d}.safetensors", _key(some, said, px, encoders)
        kept.add(path)
        if path.is_file() and load_metadata(path).get(OF) == of:
            continue
        moments: list[Tensor] = []
        context: list[Tensor] = []
        for start in range(0, len(some), AT_ONCE):
            batch = some[start : start + AT_ONCE]
            shown = torch.stack([_square(picture, px) for picture in batch]).to(model.device)
            with torch.no_grad():
                moments.append(vae.encode(shown).latent_dist.parameters.half().cpu())
            context.append(embedded(said[start : start + AT_ONCE]).cpu())
        save_weights(path, {"moments": torch.cat(moments), "context": torch.cat(context)}, {OF: of})
        print(f"pairs: {at + len(some)} of {len(pictures)}", flush=True)  # noqa: T201
    for path in set(_shards(out)) - kept:
        path.unlink()
    scale = torch.tensor(float(vae.config.scaling_factor))
    save_weights(empty, {"context": embedded([""]), "scale": scale}, {})


def _key(pictures: Sequence[Path], captions: Sequence[str], px: int, encoders: list[int]) -> str:
    """Of all that a shard is made of; pictures by size and time, wherever they lie."""
    seen = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in pictures]
    made_of = json.dumps([px, encoders, seen, *captions])
    return hashlib.sha256(made_of.encode()).hexdigest()


def _shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("[0-9]*.safetensors"))


def _caption(picture: Path) -> str:
    path = picture.with_suffix(".txt")
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput("caption", str(path), f"save it as UTF-8, {error}") from error


def _square(path: Path, px: int) -> Tensor:
    """[3, px, px] in -1..1."""
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image).convert("RGB")
            pixels = np.asarray(ImageOps.fit(upright, (px, px)), np.float32)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadInput("picture", str(path), f"mend or remove it, {error}") from error
    return torch.from_numpy(pixels / 127.5 - 1).permute(2, 0, 1)


class Pairs:
    """Encoded pairs in random order without end, a shard in memory at a time."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        self.shards, last = _shards(folder), folder / f"{EMPTY}.safetensors"
        if not self.shards or not last.is_file():
            raise Unavailable("encoded pairs", str(folder), "run the stage pairs first, to its end")
        empty = load_file(last)
        self.device, self.scale = device, float(empty["scale"])
        self.unsaid = empty["context"].float().to(device)  # [1, 77, width]

    def batches(self, count: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Latents [count, 4, h, w], drawn anew from what the autoencoder told, and contexts."""
        chance = torch.Generator().manual_seed(seed)
        left: dict[str, Tensor] = {}
        while True:
            for number in torch.randperm(len(self.shards), generator=chance).tolist():
                shard = load_file(self.shards[number])
                order = torch.randperm(len(shard["context"]), generator=chance)
                rows = {key: value[order] for key, value in shard.items()}
                left = {k: torch.cat([left[k], v]) if left else v for k, v in rows.items()}
                while len(left["context"]) >= count:
                    now = {k: v[:count].to(self.device).float() for k, v in left.items()}
                    left = {k: v[count:] for k, v in left.items()}
                    yield self.scale * _sampled(now["moments"]), now["context"]


def _sampled(moments: Tensor) -> Tensor:
    return DiagonalGaussianDistribution(moments).sample()
