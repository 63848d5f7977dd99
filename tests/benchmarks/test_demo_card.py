"""The model card's figures are those of the committed run, and of the files that lie there."""

from __future__ import annotations

import json
import zlib

import pytest
from comfyui_tandem.benchmarks.demo_card import CARD, RESULT, figures_text, written
from comfyui_tandem.training.files import SHIPPED
from comfyui_tandem.training.render import PALETTE, SEGMENTS

pytestmark = pytest.mark.quick


def test_the_card_tells_the_committed_figures() -> None:
    card = CARD.read_text("utf-8")
    result = json.loads(RESULT.read_text("utf-8"))
    assert written(card, figures_text(result)) == card
    result["figures"]["shape"] = 0.123
    assert written(card, figures_text(result)) != card


def test_the_committed_figures_are_of_the_shipped_files() -> None:
    found = 0
    for path in sorted(SHIPPED.rglob("*.safetensors")):
        found = zlib.crc32(path.read_bytes(), found)
    assert json.loads(RESULT.read_text("utf-8"))["figures"]["files_crc32"] == found


def test_the_card_names_the_segments_colours() -> None:
    card = CARD.read_text("utf-8")
    told = {
        name: f"{name} #{bytes(rgb.tolist()).hex()}"
        for name, rgb in zip(SEGMENTS, PALETTE, strict=True)
    }
    assert [said for said in told.values() if said not in card] == []
