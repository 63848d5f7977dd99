"""The networks that the benchmark times are SD1.5's and BK-SDM's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.comfy
MILLIONS = {"full": 859.5, "base": 579.4, "small": 482.3, "tiny": 323.4}


@pytest.mark.parametrize("name", MILLIONS)
def test_layouts_have_the_published_sizes(name: str) -> None:
    from comfyui_tandem.benchmarks.sd15_random import Widths, weight_shapes

    count = sum(shape.numel() for shape in weight_shapes(Widths(), name).values())
    assert count / 1e6 == pytest.approx(MILLIONS[name], abs=0.05)


def test_a_run_is_its_first_step_and_further_ones() -> None:
    from comfyui_tandem.benchmarks.sampled import whole

    assert whole({"s": [3.0, 2.0]}, "s", 1) == 3.0
    assert whole({"s": [3.0, 2.0]}, "s", 4) == 9.0


def test_residuals_that_go_astray_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    from comfyui_tandem.benchmarks import fast_sampling_equality as equality
    from comfyui_tandem.engine.control.positions import Fit
    from comfyui_tandem.engine.sampling import compact_unet

    base, small = equality.LAYOUTS["base"], equality.LAYOUTS["small"]

    def wrong(layout: Any) -> int:
        return equality._one(equality.QUICK, layout, {})["wrong"]

    assert (wrong(base), wrong(small)) == (0, 0)
    monkeypatch.setattr(compact_unet.OwnCopy, "forward", lambda _, x: x)
    assert wrong(small) == 2  # last skip and deepest feature are one tensor again
    monkeypatch.setattr(Fit, "fitted", lambda _, control: control)
    assert wrong(base) > 8


def test_a_kept_run_is_extended_without_being_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from comfyui_tandem.benchmarks import __main__ as command
    from comfyui_tandem.benchmarks import fast_sampling
    from comfyui_tandem.benchmarks import fast_sampling_equality as equality

    assert "fast_sampling_equality" not in command.names()
    tiny = {"tiny": equality.LAYOUTS["tiny"]}
    monkeypatch.setattr(equality, "LAYOUTS", tiny)
    monkeypatch.setattr(equality, "Settings", lambda: equality.QUICK)
    folders: list[Path | None] = []

    def timed(_: Any, keep: Path | None) -> dict[str, float]:
        folders.append(keep)
        return {"speedup": 13.0}

    monkeypatch.setattr(fast_sampling, "measure", timed)
    result = command.run("fast_sampling", quick=False, keep=tmp_path)
    figures = result["figures"]
    assert (figures["speedup"], figures["identity_wrong"]) == (13.0, 0)
    assert figures["identity_checked"] == 13 and figures["equality_max_abs"] < 1e-5
    assert result["settings"]["fast_sampling_equality"]["latent"] == 16
    assert folders == [tmp_path] and (tmp_path / "equality_tiny.json").exists()
    assert not fast_sampling.parts(fast_sampling.QUICK).keys() & equality.parts(equality.QUICK)
    monkeypatch.setattr(equality, "_one", lambda *_: pytest.fail("it was measured again"))
    assert command.run("fast_sampling", quick=False, keep=tmp_path)["figures"] == figures
