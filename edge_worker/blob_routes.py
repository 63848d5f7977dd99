"""Photos: is it here, and take it. A photo goes up once for all its conditions."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from .documents import PROBLEMS
from .forms import BlobId
from .gate import client_address
from .problem import Problem
from .service import Service

_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


def blob_routes(service: Service) -> APIRouter:
    router = APIRouter(responses=PROBLEMS)

    @router.head("/v1/blobs/{blob}")
    async def has_blob(blob: BlobId) -> Response:
        """200 if the photo is here, else 404."""
        if not service.blobs.has(blob):
            raise Problem("unknown_blob", "send the photo first: PUT /v1/blobs/{sha256}")
        return Response()

    @router.put("/v1/blobs/{blob}", openapi_extra=_BODY, responses={201: {"description": "New"}})
    async def put_blob(blob: BlobId, request: Request) -> JSONResponse:
        """Send a photo: PNG, JPEG, WebP, or a raw safetensors tensor U8 [1, H, W, 3]."""
        if service.line.draining:
            raise Problem("draining", "the worker is stopping: use another one")
        known = service.blobs.has(blob)
        length = request.headers.get("content-length")
        with service.blobs.receive(
            blob, client_address(request.scope), int(length) if length else None
        ) as upload:
            async for chunk in request.stream():
                upload.write(chunk)
            upload.keep()
        return JSONResponse({"sha256": blob, "bytes": upload.bytes}, 200 if known else 201)

    return router
