"""Passes of a rendered scene become what the renderer knows to be true."""

from __future__ import annotations

import numpy as np
import pytest
from comfyui_tandem.engine.conditions import ConditionRequest, Photo, detect
from comfyui_tandem.engine.conditions.drawing.palette import ADE20K

from .scene_passes import CLASSES, passes, scene


def hint(name: str, photo: Photo) -> np.ndarray:
    return detect(ConditionRequest(name, 128), photo)


@pytest.mark.parametrize("seed", range(3))
def test_passes_become_the_truth(seed: int) -> None:
    truth = scene(seed)
    made = {name: hint(name, photo) for name, photo in passes(truth).items()}
    np.testing.assert_array_equal(made["rendered_edges"] > 0, truth.edge[0].numpy())
    near = truth.depth[0].numpy()
    assert np.corrcoef(made["rendered_depth"].ravel(), near.ravel())[0, 1] > 0.9999
    segment = truth.segment[0].numpy()
    expected = ADE20K[np.array(CLASSES) - 1][segment]
    np.testing.assert_array_equal(made["rendered_segments"], expected)
    ground = made["rendered_normals"][segment == 1].mean(axis=0)
    assert ground[1] > 240 and abs(ground[0] - 128) < 2, "the ground faces up: green"
    balls = (segment == 2) & (truth.normal[0, 0].numpy() < -0.5)
    if balls.any():
        assert made["rendered_normals"][balls][:, 0].min() > 180, "what faces left is red"
