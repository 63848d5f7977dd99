"""Is it alive, can it take a job, and what can it do."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from ..engine.wire.protocol import API, LEAST_CLIENT, PHOTO_TYPES, VERSION
from .documents import METRICS_ANSWER, PROBLEMS
from .isolation import free_memory_bytes
from .meters import TEXT_TYPE
from .problem import Problem
from .service import Service


def health_routes(service: Service) -> APIRouter:
    router = APIRouter(responses=PROBLEMS)

    @router.get("/v1/health/live")
    async def live() -> dict[str, str]:
        """The process answers. No token needed, no details given."""
        return {"status": "live"}

    @router.get("/v1/health/ready")
    async def ready() -> dict[str, str]:
        """A device can take a job. No token needed, no details given."""
        if service.line.draining:
            raise Problem("draining", "the worker is stopping")
        if not service.ready:
            raise Problem("no_device", "no child process is ready")
        return {"status": "ready"}

    @router.get("/v1/capabilities")
    async def capabilities() -> dict[str, Any]:
        """Versions, devices, detectors with their parameters' JSON schema, limits, queue."""
        return describe(service)

    @router.get("/v1/metrics", response_class=Response, responses=METRICS_ANSWER)
    async def metrics() -> Response:
        """Counts for Prometheus."""
        return Response(measure(service), media_type=TEXT_TYPE)

    return router


def measure(service: Service) -> str:
    """All meters as Prometheus reads them."""
    line, pool, blobs = service.line, service.pool, service.blobs
    gauges = {
        "tasks_waiting": line.waiting,
        "tasks_running": line.running,
        "children_live": pool.live,
        "photo_bytes": blobs.bytes,
        "answer_bytes": line.answers.bytes,
        "photo_bytes_incoming": blobs.incoming_bytes,
    }
    totals = {
        "children_started_total": pool.started,
        "children_ended_total": pool.died,
        "clients_left_total": service.meters.left,
        "wrong_tokens_total": service.failures.count,
    }
    return service.meters.text(gauges, totals)


def describe(service: Service) -> dict[str, Any]:
    """What the client plans with; it ignores fields it does not know."""
    settings, line, pool = service.settings, service.line, service.pool
    announced = pool.announced
    detectors = {
        name: {
            **{key: value for key, value in facts.items() if not key.endswith("s_per_mpixel")},
            "seconds": line.prices.seconds(name),
            "seconds_per_mpixel": line.prices.seconds_per_mpixel(name, facts),
        }
        for name, facts in announced["detectors"].items()
    }
    return {
        "api": API,
        "version": VERSION,
        "min_client": LEAST_CLIENT,
        "instance": service.instance,
        "slots": settings.slots,
        "devices": [{"name": "cpu", "slots": settings.slots, "processes": pool.live}],
        "detectors": detectors,
        "queue": {
            "waiting": line.waiting,
            "running": line.running,
            "processes": pool.live,
            "limit": settings.queue_length * settings.slots,
            "expected_wait_s": line.expected_wait_s(),
        },
        "limits": {
            "photo_bytes": settings.photo.bytes,
            "photo_pixels": settings.photo.pixels,
            "photo_side_px": settings.photo.side_px,
            "hint_pixels": settings.hint_pixels,
            "task_seconds": settings.task_seconds,
            "process_memory_bytes": settings.child_memory_bytes,
            "free_memory_bytes": free_memory_bytes(),
        },
        "codecs": {
            "photo": list(PHOTO_TYPES),
            "hint": ["image/png"],
            "decode_s_per_mpixel": announced["decode_s_per_mpixel"],
        },
    }
