"""One detector by itself, for graphs of ComfyUI's own nodes."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import torch
from comfy.utils import ProgressBar
from comfy_api.latest import io, ui

from ..engine.conditions import ConditionRequest, Options, detect, doubts, find_detector
from ..engine.errors import Unavailable
from .detector_choice import how_inputs, masks_of, params_of, what_inputs
from .pictures import photos_of
from .waiting import wait_for

if TYPE_CHECKING:
    from ..engine.conditions.view import Levels


class Detect(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="TandemDetect",
            display_name="Detect",
            category="Tandem/conditions",
            description="Makes a hint picture here, for the stock Apply ControlNet. To plan "
            "several and share them with an edge worker use Condition instead.",
            inputs=[*what_inputs(), *how_inputs()],
            outputs=[
                io.Image.Output("hint", "hint"),
                io.String.Output("summary", "summary"),
            ],
        )

    @classmethod
    async def execute(
        cls,
        image: torch.Tensor,
        detector: str,
        resolution: int,
        options: Options | None = None,
        mask: torch.Tensor | None = None,
    ) -> io.NodeOutput:
        from ..engine.control import hint_image

        request = ConditionRequest(detector, resolution, params=params_of(detector, options))
        masks, photos = masks_of(detector, mask), photos_of(image)
        bar = ProgressBar(len(photos))

        def work(report: Any, cancelled: threading.Event) -> list[Levels]:
            made: list[Levels] = []
            for number, photo in enumerate(photos, 1):
                if cancelled.is_set():  # nobody waits for the rest
                    raise Unavailable("node that wants the hint", None, "it was cancelled")
                made.append(detect(request, photo))
                report(number)
            return made

        pictures = await wait_for(work, bar.update_absolute)
        hint = hint_image(pictures, masks)
        entry = find_detector(detector)
        told = [f"{detector}: {entry.polarity}", *doubts(entry, pictures)]
        shown = ui.PreviewImage(hint, cls=cls).as_dict()["images"]
        return io.NodeOutput(hint, "\n".join(f"- {line}" for line in told), ui={"images": shown})
