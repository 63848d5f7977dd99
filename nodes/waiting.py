"""Waiting for work in other threads, while ComfyUI's cancel and progress stay in the node's own.

ComfyUI's cancel flag is consumed by the first thread that polls it, and every progress update
polls: so lanes never touch either. They report into a queue and watch an Event.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import TypeVar

import comfy.model_management

Made = TypeVar("Made")
Told = TypeVar("Told")
POLL_S = 0.05


async def wait_for(
    work: Callable[[Callable[[Told], None], threading.Event], Made], show: Callable[[Told], None]
) -> Made:
    """Run `work(report, cancelled)` in a thread; `show` what it reports in this one.

    Other nodes that are ready run meanwhile: a model loads while hints are made.

    Raises what `work` raises, and ComfyUI's own exception when the user cancels: then `cancelled`
    is set, and the work ends by itself.
    """
    told: queue.SimpleQueue[Told] = queue.SimpleQueue()
    cancelled = threading.Event()
    made: Future[Made] = Future()

    def run() -> None:
        made.set_running_or_notify_cancel()  # so that nobody can cancel it
        try:
            made.set_result(work(told.put, cancelled))
        except BaseException as error:  # handed to the waiting side, which raises it
            made.set_exception(error)

    threading.Thread(target=run, name="tandem-lanes", daemon=True).start()
    waiting = asyncio.wrap_future(made)
    try:
        while not waiting.done():
            comfy.model_management.throw_exception_if_processing_interrupted()
            await asyncio.wait([waiting], timeout=POLL_S)
            _pass_on(told, show)
        _pass_on(told, show)
    finally:  # cancelled by the user or with another node, or done
        cancelled.set()
        waiting.cancel()
    return made.result()


def _pass_on(told: queue.SimpleQueue[Told], show: Callable[[Told], None]) -> None:
    with suppress(queue.Empty):
        while True:
            show(told.get_nowait())
