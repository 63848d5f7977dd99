"""What a batch tells of its scenes."""

from __future__ import annotations

import torch
from comfyui_tandem.training.batches import drop_words
from comfyui_tandem.training.words import TOKENS, UNKNOWN, token_rows

SAID = "a small red ball on the left and a blue sphere , in the snow"


def test_dropped_words_are_colours_and_shapes_and_no_others() -> None:
    torch.manual_seed(0)
    tokens = torch.tensor([token_rows(tuple(SAID.split()))] * 200)
    dropped = drop_words(tokens, 0.5)
    named = {TOKENS[word] for word in ("red", "ball", "blue", "sphere")}
    assert {int(row) for row in tokens[dropped == UNKNOWN]} == named
    assert torch.equal(dropped[dropped != UNKNOWN], tokens[dropped != UNKNOWN])
    ways = {tuple(row.tolist()) for row in dropped == UNKNOWN}
    assert len(ways) == 2 ** len(named), "each word alone, in every combination"


def test_no_dropout_keeps_every_word() -> None:
    tokens = torch.tensor([token_rows(tuple(SAID.split()))])
    assert torch.equal(drop_words(tokens, 0.0), tokens)
