"""The model card's figures are those of the committed run, and of the files that lie there."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest
from comfyui_tandem.benchmarks.demo_card import CARD, figures_text, result_of, whole
from comfyui_tandem.benchmarks.distillation import Settings
from comfyui_tandem.benchmarks.distillation_card import members_text
from comfyui_tandem.benchmarks.distillation_draw import SIDES
from comfyui_tandem.engine.sampling.family_files import (
    CONTROL_NETS,
    control_file,
    decoder_file,
    unet_file,
)
from comfyui_tandem.training.files import SHIPPED, full_files
from comfyui_tandem.training.members import COMPARED
from comfyui_tandem.training.render import PALETTE, SEGMENTS

pytestmark = pytest.mark.quick


def test_the_card_tells_the_committed_figures() -> None:
    card = CARD.read_text("utf-8")
    assert whole(card) == card
    for name, text, key in (
        ("demo_quality", figures_text, "shape"),
        ("distillation", members_text, "adherence_two_phase_4_k0"),
    ):
        result = result_of(name)
        before = text(result)
        assert before in card
        result["figures"][key] = 0.123
        assert text(result) != before


def test_the_committed_figures_are_of_the_shipped_files() -> None:
    scored = full_files()
    assert result_of("demo_quality")["figures"]["files_crc32"] == crc(scored)
    rows = [row for row in Settings().rows if SIDES[row.side] not in COMPARED]
    studio = Settings().studio
    members = sorted({path for row in rows for path in studio.files(row)})
    assert result_of("distillation")["figures"]["files_crc32"] == crc(members)
    unscored = {SHIPPED / unet_file("base"), decoder_file(SHIPPED)}
    unscored.add(SHIPPED / CONTROL_NETS / control_file("seg", compact=True))
    assert {*SHIPPED.rglob("*.safetensors")} - {*scored, *members} == unscored


def crc(paths: list[Path]) -> int:
    found = 0
    for path in paths:
        found = zlib.crc32(path.read_bytes(), found)
    return found


def test_the_card_names_the_segments_colours() -> None:
    card = CARD.read_text("utf-8")
    told = {
        name: f"{name} #{bytes(rgb.tolist()).hex()}"
        for name, rgb in zip(SEGMENTS, PALETTE, strict=True)
    }
    assert [said for said in told.values() if said not in card] == []
