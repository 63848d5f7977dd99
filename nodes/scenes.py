"""The scenes that come with the pack."""

from __future__ import annotations

import numpy as np
import torch
from comfy_api.latest import io, ui

from ..engine.conditions.demo_scene import open_scene, scene_names
from .checks import check_choice
from .model_folders import FAMILY

SCENES = FAMILY / "scenes"


class DemoSceneNode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="TandemDemoScene",
            display_name="Demo Scene",
            category="Tandem/conditions",
            description="A rendered scene with its exact depth, segmentation and pose, as the demo "
            "model learnt them. Hints need no detector: use 'ready' in Condition, or connect them "
            "to the stock Apply ControlNet.",
            inputs=[
                io.Combo.Input(
                    "scene", options=scene_names(SCENES), default="meadow", tooltip="Which one."
                ),
            ],
            outputs=[
                io.Image.Output("image", "image"),
                io.Image.Output("depth", "depth"),
                io.Image.Output("segmentation", "segmentation"),
                io.Image.Output("pose", "pose"),
                io.String.Output("caption", "caption"),
            ],
        )

    @classmethod
    def execute(cls, scene: str) -> io.NodeOutput:
        check_choice("scene", scene, scene_names(SCENES))
        found = open_scene(SCENES, scene)
        image, depth, segmentation, pose = (
            torch.from_numpy(pixels.astype(np.float32) / 255)[None]
            for pixels in (found.picture, found.depth, found.segmentation, found.pose)
        )
        shown = ui.PreviewImage(image, cls=cls)
        return io.NodeOutput(image, depth, segmentation, pose, found.caption, ui=shown)
