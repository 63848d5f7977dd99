"""Every error that travels: a stable code, its HTTP status, and whether trying again can help.

The form is RFC 9457, `application/problem+json`, with `code` and `retryable` besides.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

PROBLEM_TYPE = "application/problem+json"
LONGEST_DETAIL = 200

_ONCE: Mapping[str, tuple[int, str]] = {
    "bad_request": (400, "The request is malformed"),
    "bad_param": (422, "A value cannot be used"),
    "bad_photo": (422, "The photo cannot be read"),
    "no_token": (401, "A token is needed"),
    "bad_token": (401, "The token is wrong"),
    "bad_host": (403, "The Host header is not one of this worker's names"),
    "origin_refused": (403, "Web pages may not call this worker"),
    "not_found": (404, "There is no such route"),
    "unknown_detector": (404, "There is no such detector"),
    "unknown_job": (404, "There is no such job"),
    "wrong_method": (405, "The route does not take this method"),
    "idempotency_mismatch": (409, "The key was used with another body"),
    "cancelled": (409, "The job was cancelled"),
    "too_large": (413, "The body or the picture is too large"),
    "unsupported_type": (415, "The content type is not served"),
    "crashed_before": (422, "This detector crashed twice on this photo"),
    "too_many_failures": (429, "Too many wrong tokens"),
    "detector_failed": (500, "The detector failed"),
    "internal": (500, "The worker made a mistake"),
    "no_space": (507, "The worker's disk is full"),
}
_AGAIN: Mapping[str, tuple[int, str]] = {
    "unknown_blob": (404, "The photo is not here"),
    "not_ready": (409, "The result is not ready"),
    "queue_full": (429, "The queue is full"),
    "worker_crashed": (500, "The detector took its process down"),
    "draining": (503, "The worker is stopping"),
    "no_device": (503, "No device can take a job"),
    "deadline": (504, "The deadline cannot be met"),
}
CODES: Mapping[str, tuple[int, str]] = MappingProxyType({**_ONCE, **_AGAIN})


def is_retryable(code: str) -> bool:
    return code in _AGAIN


def problem_form(code: str, detail: str) -> dict[str, Any]:
    """The JSON body of an error."""
    status, title = CODES[code]
    return {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail[:LONGEST_DETAIL],
        "code": code,
        "retryable": is_retryable(code),
    }
