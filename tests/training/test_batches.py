"""What a batch tells of its scenes."""

from __future__ import annotations

import pytest
import torch
from comfyui_tandem.training.batches import drop_words
from comfyui_tandem.training.diffusion import weighted_loss
from comfyui_tandem.training.hints import KINDS, subject
from comfyui_tandem.training.measures import THING
from comfyui_tandem.training.words import FIGURE, TOKENS, UNKNOWN, token_rows

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


@pytest.mark.parametrize("kind", KINDS)
def test_a_hint_tells_of_its_things_and_the_cells_beside_them(kind: str) -> None:
    segment = torch.zeros(2, 128, 128, dtype=torch.uint8)
    segment[0, 40:48, 40:48] = THING + FIGURE  # cell 5, 5
    segment[1, 80:88, 8:16] = THING  # a ball in cell 10, 1
    cells = subject(kind, {"segment": segment}, torch.arange(2), 16)
    assert cells.shape == (2, 1, 16, 16)
    if kind == "edge":
        assert cells.min() == 1
        return
    figure, ball = cells[:, 0]
    assert figure[4:7, 4:7].min() == 1 and figure.sum() == 9
    assert ball.sum() == (0 if kind == "pose" else 9)


def test_the_loss_counts_cells_by_their_weight() -> None:
    noise, times = torch.zeros(2, 4, 2, 2), torch.tensor([500, 500])
    wrong = torch.zeros_like(noise)
    wrong[:, :, 0, 0] = 1
    plain = weighted_loss(wrong, noise, times, 0.3)
    cells = torch.full((2, 1, 2, 2), 0.5)
    torch.testing.assert_close(weighted_loss(wrong, noise, times, 0.3, cells), plain)
    cells[:, :, 0, 0] = 1.5
    torch.testing.assert_close(weighted_loss(wrong, noise, times, 0.3, cells), plain * 2)
