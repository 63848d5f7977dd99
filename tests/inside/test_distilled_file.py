"""What `tandem distill` writes opens as a MODEL that computes what was trained."""

from __future__ import annotations

from pathlib import Path

import pytest

from .narrow import CONTEXT, random_unet

pytestmark = pytest.mark.comfy


@pytest.mark.parametrize("layout", ["base", "small", "tiny"])
def test_a_distilled_file_opens(layout: str, tmp_path: Path) -> None:
    import torch
    from comfyui_tandem.engine.sampling.model_file import load_model_file
    from comfyui_tandem.training.pretrained import Pretrained, student_of

    for part in ("text_encoder", "tokenizer", "vae"):
        (tmp_path / part).mkdir()
    random_unet("sd15").save_pretrained(tmp_path / "unet")
    teacher = Pretrained(tmp_path, torch.device("cpu"))
    student = student_of(teacher.unet(), layout).eval()
    file = tmp_path / "student.safetensors"
    teacher.write(file, student.state_dict(), {"samples": "0"})
    model, clip, vae = load_model_file(file)
    assert clip is None and vae is None and model.model.model_type.name == "EPS"
    x, times, context = (
        torch.randn(2, 4, 16, 16),
        torch.tensor([900, 40]),
        torch.randn(2, 77, CONTEXT),
    )
    with torch.no_grad():
        expected = student(x, times, context).sample
        found = model.model.diffusion_model(x, times.float(), context=context)
    assert (found - expected).abs().max() < 0.02 * expected.std(), "as far as half precision goes"
