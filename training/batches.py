"""Training scenes drawn for a batch: latents, what is said of them, and hints."""

from __future__ import annotations

import random

import torch
from torch import Tensor

from .hints import EDGE_HINTS, hints, keys
from .run import Setting
from .shards import HELD_OUT, load_shards
from .text import encode, load_text_encoder, no_words
from .words import COLOURS, OTHER_NAMES, SHAPES, TOKENS, UNKNOWN

WITH_FIGURE = 0.9  # share of a pose batch that has one
COLOURS_AND_SHAPES = torch.tensor(
    [TOKENS[word] for word in (*COLOURS, *SHAPES, *OTHER_NAMES.values())]
)


class Captioned:
    """Scenes and their captions, all on the device.

    empty: share of captions without words; dropout: of words of colour and shape, one by one.
    """

    def __init__(self, setting: Setting, empty: float = 0.0, dropout: float = 0.0) -> None:
        latents = load_shards(setting.folder, "latents", ("latent",))["latent"].float()
        tokens = load_shards(setting.folder, "scenes", ("tokens",))["tokens"][: len(latents)]
        self.latents, self.tokens = latents.to(setting.device), tokens.to(setting.device)
        self.text = load_text_encoder(setting)
        self.empty, self.dropout = empty, dropout
        self.no_words = no_words().to(setting.device)
        self.first = min(HELD_OUT, len(latents) // 2)

    def draw(self, count: int) -> tuple[Tensor, Tensor]:
        """Latents [count, 4, h, w] and contexts [count, 77, width] of scenes to train on."""
        rows = torch.randint(self.first, len(self.latents), (count,))
        turns = torch.randint(self.tokens.shape[1], (count,))
        said = drop_words(self.tokens[rows, turns].long(), self.dropout)
        said[torch.rand(count) < self.empty] = self.no_words
        return self.latents[rows], encode(self.text, said)

    def held(self, count: int) -> tuple[Tensor, Tensor]:
        """The same of the first held-out scenes."""
        return self.latents[:count], encode(self.text, self.tokens[:count, 0])

    def unsaid(self, count: int) -> Tensor:
        """[count, 77, width]: contexts of the empty caption."""
        return encode(self.text, self.no_words).expand(count, -1, -1)


class Hinted:
    """Scenes with captions and hints of a kind, drawn on the CPU; of poses mostly with a figure."""

    def __init__(self, setting: Setting, kind: str, empty: float) -> None:
        self.stored = load_shards(setting.folder, "scenes", ("tokens", *keys(kind)))
        self.latents = load_shards(setting.folder, "latents", ("latent",))["latent"].float()
        self.text, self.device = load_text_encoder(setting), setting.device
        self.kind, self.empty, self.no_words = kind, empty, no_words()
        count = len(self.latents)
        held = min(HELD_OUT, count // 2)
        self.all = torch.arange(held, count)
        self.figures = self.all
        if "keypoints" in self.stored:
            there = torch.isfinite(self.stored["keypoints"][held:count]).all((1, 2))
            self.figures = self.all[there]

    def draw(self, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Latents, contexts and hints [count, 3, H, W], on the device."""
        rows = self._rows(count)
        ways = random.choices(EDGE_HINTS, k=count)
        hint = hints(self.kind, self.stored, rows, ways).to(self.device)
        tokens = self.stored["tokens"]
        said = tokens[rows, torch.randint(tokens.shape[1], (count,))].long()
        said[torch.rand(count) < self.empty] = self.no_words
        context = encode(self.text, said.to(self.device))
        return self.latents[rows].to(self.device), context, hint

    def _rows(self, count: int) -> Tensor:
        figures = self.figures[torch.randint(len(self.figures), (count,))]
        anyone = self.all[torch.randint(len(self.all), (count,))]
        return torch.where(torch.rand(count) < WITH_FIGURE, figures, anyone)


def drop_words(tokens: Tensor, share: float) -> Tensor:
    """Rows of the vocabulary with a share of colours and shapes unknown.

    So that each is learnt without the other too, and pairs that training never shows can be drawn.
    """
    gone = torch.isin(tokens, COLOURS_AND_SHAPES.to(tokens.device))
    gone &= (torch.rand(tokens.shape) < share).to(tokens.device)
    return tokens.masked_fill(gone, UNKNOWN)
