"""The ASGI app: gate, routes, error form, and the lifespan of the children."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from ..engine.wire.protocol import VERSION
from .blob_routes import blob_routes
from .gate import Gate
from .health import health_routes
from .job_routes import job_routes
from .preprocess import preprocess_routes
from .problem import add_problem_handlers
from .service import Service
from .settings import Settings


def create_app(settings: Settings) -> FastAPI:
    """A worker as an ASGI app. Its children start and end with its lifespan.

    `app.state.service` holds its state.
    """
    service = Service(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        try:
            await service.open()
            yield
        finally:
            await service.close()

    app = FastAPI(
        title="Tandem edge worker",
        version=VERSION,
        lifespan=lifespan,
        docs_url=None,  # they load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.service = service
    add_problem_handlers(app)
    for routes in (health_routes, blob_routes, preprocess_routes, job_routes):
        app.include_router(routes(service))
    app.add_middleware(Gate, settings=settings, failures=service.failures, meters=service.meters)
    return app
