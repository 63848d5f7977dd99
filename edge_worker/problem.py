"""Errors of the service, all answered in one form."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from ..engine.wire.problems import CODES, PROBLEM_TYPE, problem_form

log = logging.getLogger(__name__)
_OF_STATUS = {404: "not_found", 405: "wrong_method", 413: "too_large", 415: "unsupported_type"}


class Problem(Exception):
    """What a request is answered with instead of a result."""

    def __init__(self, code: str, detail: str, retry_after_s: float | None = None) -> None:
        super().__init__(code, detail)
        self.code, self.detail, self.retry_after_s = code, detail, retry_after_s
        self.status = CODES[code][0]

    def response(self) -> JSONResponse:
        headers: dict[str, str] = {"Cache-Control": "no-store"}
        if self.retry_after_s is not None:
            headers["Retry-After"] = str(max(1, round(self.retry_after_s)))
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        form = problem_form(self.code, self.detail)
        return JSONResponse(form, self.status, headers, PROBLEM_TYPE)


def _invalid(error: RequestValidationError) -> Problem:
    first: dict[str, Any] = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"] if part != "body")
    if first["type"] == "json_invalid":
        return Problem("bad_request", "the body is no JSON")
    seen = f", not {first['input']!r:.60}" if first["type"] != "missing" else ""
    return Problem("bad_param", f"{place or 'body'}: {first['msg']}{seen}")


def add_problem_handlers(app: FastAPI) -> None:
    """Answer every error of the app as problem+json, without stack, path or header."""

    async def answer(_: Request, error: Exception) -> Response:
        if isinstance(error, Problem):
            return error.response()
        if isinstance(error, RequestValidationError):
            return _invalid(error).response()
        if isinstance(error, HTTPException):
            code = _OF_STATUS.get(error.status_code, "bad_request")
            return Problem(code, str(error.detail)).response()
        return Problem("internal", "see the worker's log").response()

    async def gone(_: Request, __: Exception) -> Response:
        log.info("a client left while it was sending")
        return Problem("bad_request", "the body ended early").response()

    for kind in (Problem, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, answer)
    app.add_exception_handler(ClientDisconnect, gone)
