"""A scene of our own renderer, as the passes that a 3D program would save of it."""

from __future__ import annotations

import numpy as np
from comfyui_tandem.engine.conditions import Photo
from comfyui_tandem.training.render import Truth, render
from comfyui_tandem.training.scenes import sample_scenes
from numpy.typing import NDArray

CLASSES = (3, 14, 1, 2, 9, 20, 33, 137, 13)  # sky, earth, ...: ADE20K's, from 1; the last a person


def scene(seed: int) -> Truth:
    return render(sample_scenes(1, seed))


def passes(truth: Truth) -> dict[str, Photo]:
    """By the detector that takes it. Distances are seen as 1 - nearness; normals are OpenGL's."""
    normal = truth.normal[0].permute(1, 2, 0).numpy() * (1, -1, 1)  # the renderer counts y downward
    return {
        "rendered_depth": _grey(np.round((1 - truth.depth[0].numpy()) * 255)),
        "rendered_normals": Photo(np.round((normal + 1) / 2 * 255).astype(np.uint8)),
        "rendered_edges": _grey(truth.instance[0].numpy() * 20),
        "rendered_segments": _grey(np.array(CLASSES)[truth.segment[0].numpy()]),
    }


def picture(truth: Truth) -> Photo:
    return Photo((truth.picture[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8))


def _grey(values: NDArray) -> Photo:
    return Photo(np.repeat(values.astype(np.uint8)[..., None], 3, axis=2))
