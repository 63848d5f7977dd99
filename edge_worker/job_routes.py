"""Jobs over HTTP: make one, watch it, fetch each result, cancel it."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from starlette.responses import Response, StreamingResponse

from .answers import HintResponse
from .documents import EVENTS_ANSWER, HINT_ANSWER, PROBLEMS
from .forms import MOST_PARTS, Deadline, JobId, Key, LastEvent, WantedJob
from .gate import client_address
from .jobs import Job, follow
from .problem import Problem
from .service import Service

COMMENT_S = 10.0  # else proxies close a silent stream
STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
PartNumber = Annotated[int, Path(ge=0, lt=MOST_PARTS)]


def job_routes(service: Service) -> APIRouter:
    router = APIRouter(responses=PROBLEMS)

    @router.post("/v1/jobs", status_code=202)
    async def create(
        wanted: WantedJob, request: Request, deadline: Deadline = None, key: Key = None
    ) -> dict[str, Any]:
        """Put several detectors on one photo in line. With an Idempotency-Key only once."""
        body, address = wanted.model_dump_json(), client_address(request.scope)
        if (known := service.jobs.made_with(key, body)) is not None:
            return known.form()
        left_s = deadline or service.settings.task_seconds
        tasks = [
            service.line.plan(
                part.detector, part.params, part.resolution, wanted.photo_sha256, left_s, address
            )
            for part in wanted.parts
        ]
        return service.jobs.create(tasks, key, body).form()

    @router.get("/v1/jobs/{job}")
    async def show(job: JobId) -> dict[str, Any]:
        """State of a job and of its parts."""
        return service.jobs.find(job).form()

    @router.get("/v1/jobs/{job}/result/{part}", response_class=Response, responses=HINT_ANSWER)
    async def result(job: JobId, part: PartNumber) -> Response:
        """One hint, as soon as it is ready; else its problem, or not_ready."""
        found = service.jobs.find(job)
        if part >= len(found.parts):
            raise Problem("not_found", f"the job has {len(found.parts)} parts")
        wanted = found.parts[part]
        if wanted.problem:
            raise wanted.problem
        if wanted.result is None:
            raise Problem("not_ready", f"it is {wanted.state}", retry_after_s=1)
        found.fetched.add(part)
        headers = {"Server-Timing": wanted.result.server_timing(), "Cache-Control": "no-store"}
        return HintResponse(wanted.result.png, headers)

    @router.get("/v1/jobs/{job}/events", response_class=Response, responses=EVENTS_ANSWER)
    async def events(job: JobId, last: LastEvent = None) -> StreamingResponse:
        """Server-sent events: queued, loading, running, done, failed, cancelled, expired, end."""
        found = service.jobs.find(job)
        stream = event_stream(found, 0 if last is None else last + 1)
        return StreamingResponse(stream, media_type="text/event-stream", headers=STREAM_HEADERS)

    @router.delete("/v1/jobs/{job}")
    async def cancel(job: JobId) -> dict[str, Any]:
        """End a job, or a call that its client named; answered when the child is free."""
        if job in service.calls:
            call = service.calls[job]
            call.stop.set("cancelled")
            await call.ended.wait()
            return {"id": job, "state": "cancelled", "parts": []}
        found = service.jobs.find(job)
        await service.jobs.cancel(found)
        return found.form()

    return router


async def event_stream(job: Job, after: int) -> AsyncGenerator[str]:
    """A job's events as text/event-stream."""
    async for happened in follow(job, after, COMMENT_S):
        if happened is None:
            yield ": still here\n\n"
        else:
            number, event, facts = happened
            yield f"id: {number}\nevent: {event}\ndata: {json.dumps(facts)}\n\n"
