"""A user's own files, for `tandem calibrate`: what cannot be read is told of."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import pytest

pytestmark = pytest.mark.comfy


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Broken ones, and one with nothing known in it."""
    import torch
    from safetensors.torch import save_file

    broken = [tmp_path / "broken.safetensors", tmp_path / "broken.ckpt"]
    for file in broken:
        file.write_bytes(b"nothing of use")
    unknown = tmp_path / "unknown.safetensors"
    save_file({"weight": torch.zeros(2)}, unknown)
    return [*broken, unknown, tmp_path / "missing.safetensors"]


def test_a_checkpoint_that_is_none_is_named(files: list[Path]) -> None:
    from comfyui_tandem.engine.errors import BadInput
    from comfyui_tandem.training.own_models import open_models

    for file in files:
        with pytest.raises(BadInput, match=file.name):
            open_models(file, {}, ("", ""))


def test_a_control_net_that_is_none_is_named(
    files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    import comfy.sd
    from comfyui_tandem.engine.errors import BadInput
    from comfyui_tandem.training.own_models import open_models

    there = (mock.Mock(), mock.Mock(), mock.Mock())
    monkeypatch.setattr(comfy.sd, "load_checkpoint_guess_config", lambda _: there)
    for file in files:
        with pytest.raises(BadInput, match=f"(canny|file).*{file.name}"):
            open_models(files[0], {"canny": file}, ("", ""))
