"""The networks that the benchmark times are SD1.5's and BK-SDM's."""

from __future__ import annotations

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
