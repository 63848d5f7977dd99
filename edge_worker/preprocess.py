"""One detector on one photo, answered in one go. A client that leaves frees the child."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial

from fastapi import APIRouter, Request
from starlette.responses import Response

from .answers import HintResponse
from .documents import HINT_ANSWER, PROBLEMS
from .forms import CallId, Deadline, Rate, Wanted
from .gate import client_address
from .line import Stop
from .problem import Problem
from .service import Call, Service


def preprocess_routes(service: Service) -> APIRouter:
    router = APIRouter(responses=PROBLEMS)

    @router.post("/v1/preprocess/{name}", response_class=Response, responses=HINT_ANSWER)
    async def preprocess(
        name: str,
        wanted: Wanted,
        request: Request,
        deadline: Deadline = None,
        call: CallId = None,
        rate: Rate = None,
    ) -> Response:
        """Run one detector; the photo must be here already."""
        address = client_address(request.scope)
        left_s = deadline or service.settings.task_seconds
        task = service.line.plan(
            name, wanted.params, wanted.resolution, wanted.photo_sha256, left_s, address
        )
        with _named(service, call, task.stop):
            service.line.enter(task)
            watching = asyncio.create_task(_stop_when_gone(service, request, task.stop))
            try:
                result = await service.line.run(task)
            finally:
                watching.cancel()
        headers = {"Server-Timing": result.server_timing(), "Cache-Control": "no-store"}
        sent = partial(service.line.answers.release, address, len(result.png))
        return HintResponse(result.png, headers, sent, rate)

    return router


@contextmanager
def _named(service: Service, call: str | None, stop: Stop) -> Generator[None]:
    """Let the call be cancelled by its name while it runs."""
    if call is None:
        yield
        return
    if call in service.calls:
        raise Problem("idempotency_mismatch", "a call of this name is running")
    service.calls[call] = named = Call(stop)
    try:
        yield
    finally:
        del service.calls[call]
        named.ended.set()


async def _stop_when_gone(service: Service, request: Request, stop: Stop) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    service.meters.left += 1
    stop.set("cancelled")
