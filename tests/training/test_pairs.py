"""Encoded pairs are of the pictures, captions and models that are there now."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from comfyui_tandem.engine.errors import BadInput, Unavailable
from comfyui_tandem.training import pairs as room
from comfyui_tandem.training.pairs import EMPTY, Pairs, encode_pairs, find_pairs
from comfyui_tandem.training.pretrained import Pretrained
from safetensors.torch import load_file

from .distilling import write_teacher

CPU = torch.device("cpu")


@pytest.fixture
def own(pairs: Path, tmp_path: Path) -> Path:
    """A copy to change, times of the files kept."""
    return Path(shutil.copytree(pairs, tmp_path / "pictures"))


@pytest.fixture(autouse=True)
def two_a_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "SHARD", 2)


def encode(teacher: Path, pictures: Path, px: int = 64) -> dict[str, torch.Tensor]:
    """Into the folder beside; every shard's rows, joined."""
    out = pictures.parent / "encoded"
    encode_pairs(Pretrained(teacher, CPU), find_pairs(pictures), out, px)
    shards = [load_file(path) for path in Pairs(out, CPU).shards]
    return {key: torch.cat([shard[key] for shard in shards]) for key in shards[0]}


def same(before: torch.Tensor, after: torch.Tensor) -> list[bool]:
    return [torch.equal(a, b) for a, b in zip(before, after, strict=True)]


def stamps(pictures: Path) -> list[int]:
    return [path.stat().st_mtime_ns for path in Pairs(pictures.parent / "encoded", CPU).shards]


def test_what_did_not_change_stays_wherever_it_lies(teacher: Path, own: Path) -> None:
    encode(teacher, own)
    before = stamps(own)
    moved = own.rename(own.parent / "elsewhere")
    encode(teacher, moved)
    assert stamps(moved) == before


def test_a_caption_that_changed_is_encoded_anew(teacher: Path, own: Path) -> None:
    before, at = encode(teacher, own), stamps(own)
    (own / "1.txt").write_text("a yellow ball")
    after = encode(teacher, own)
    assert same(before["context"], after["context"]) == [True, False, True, True]
    assert stamps(own)[0] != at[0] and stamps(own)[1] == at[1], "the other shard stays"


def test_a_picture_that_changed_is_encoded_anew(teacher: Path, own: Path) -> None:
    before = encode(teacher, own)
    shutil.copy(own / "0.png", own / "2.png")
    after = encode(teacher, own)
    assert same(before["moments"], after["moments"]) == [True, True, False, True]


def test_shards_of_pairs_that_went_away_go_too(teacher: Path, own: Path) -> None:
    assert len(encode(teacher, own)["context"]) == 4
    for name in ("1.txt", "2.txt"):
        (own / name).unlink()
    assert len(encode(teacher, own)["context"]) == 2


def test_another_model_or_size_encodes_all_anew(teacher: Path, own: Path, tmp_path: Path) -> None:
    before = encode(teacher, own)
    (tmp_path / "other").mkdir()
    other = write_teacher(tmp_path / "other", seed=1)
    after = encode(other, own)
    assert not torch.equal(after["moments"], before["moments"])
    assert not torch.equal(after["context"], before["context"])
    assert encode(other, own, px=128)["moments"].shape[-1] == 16
    one_part = write_teacher(tmp_path / "one", seed=0)
    shutil.rmtree(one_part / "text_encoder")
    shutil.copytree(other / "text_encoder", one_part / "text_encoder")
    mixed = encode(one_part, own)
    assert torch.equal(mixed["moments"], before["moments"])
    assert torch.equal(mixed["context"], after["context"])


def test_what_was_not_encoded_to_its_end_is_not_trained_on(teacher: Path, own: Path) -> None:
    encode(teacher, own)
    (own / "2.png").write_bytes(b"nothing")
    with pytest.raises(BadInput, match=r"2\.png.*mend or remove it"):
        encode(teacher, own)
    out = own.parent / "encoded"
    assert not (out / f"{EMPTY}.safetensors").exists()
    with pytest.raises(Unavailable, match="to its end"):
        Pairs(out, CPU)


def test_a_caption_in_another_encoding_is_named(teacher: Path, own: Path) -> None:
    (own / "1.txt").write_bytes("ein gr\u00fcner Ball".encode("latin-1"))
    with pytest.raises(BadInput, match=r"1\.txt.*save it as UTF-8"):
        encode(teacher, own)
