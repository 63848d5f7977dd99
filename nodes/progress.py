"""A run's progress while it goes on: the node's bar, and the message `tandem.progress`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from comfy.utils import ProgressBar
from comfy_execution.utils import get_executing_context

from ..engine.offload import progress_payload
from .show import json_safe

if TYPE_CHECKING:
    from ..engine.offload import Progress

EVENT = "tandem.progress"


def lane_progress(node: str, total: int) -> Callable[[Progress], None]:
    """What shows how far the lanes are; call it in the node's own thread.

    The message goes to whoever queued the graph. Everything also works where nobody hears it.
    """
    from server import PromptServer  # here, as it starts half of ComfyUI

    bar = ProgressBar(total, node_id=node)
    context = get_executing_context()
    run = {"node": node, "prompt_id": context.prompt_id if context else None}
    server = getattr(PromptServer, "instance", None)  # None: nodes without a server

    def show(progress: Progress) -> None:
        bar.update_absolute(progress.done)
        if server is not None and server.client_id is not None:
            payload = json_safe({**progress_payload(progress), **run})
            server.send_sync(EVENT, payload, server.client_id)

    return show
