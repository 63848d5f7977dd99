"""Names on the wire, and which versions may talk to each other."""

from __future__ import annotations

import re

from ..errors import BadInput

VERSION = "0.1.0"  # of this pack; the root module states the same
API = "v1"  # may gain fields; the client ignores those it does not know
LEAST_CLIENT = "0.1.0"  # what this worker still serves
LEAST_WORKER = "0.1.0"  # what this client still asks

DEADLINE_HEADER = "Tandem-Deadline"  # remaining seconds; clocks of two machines differ
JOB_HEADER = "Tandem-Job"  # the client's name for a call, so that it can be cancelled
RATE_HEADER = "Tandem-Rate"  # most bytes a second that the answer may come with
IDEMPOTENCY_HEADER = "Idempotency-Key"

PHOTO_TYPES = ("image/webp", "image/png", "image/jpeg", "application/vnd.safetensors")
HINT_TYPE = "image/png"
BLOB_ID = re.compile(r"[0-9a-f]{64}")
JOB_ID = re.compile(r"[0-9a-f]{32}")


def version_parts(version: str) -> tuple[int, ...]:
    """The numbers of a version.

    >>> version_parts("0.12.3")
    (0, 12, 3)
    """
    found = re.match(r"(\d{1,6})\.(\d{1,6})\.(\d{1,6})", version)
    if found is None:
        raise BadInput("version", version, "need three numbers such as 0.1.0")
    return tuple(int(part) for part in found.groups())


def version_objection(
    worker: str, least_client: str, *, client: str = VERSION, least_worker: str = LEAST_WORKER
) -> str | None:
    """Why these two may not talk, in words a person can act on; None where they may."""
    if version_parts(worker) < version_parts(least_worker):
        return f"it is version {worker}, this pack needs {least_worker}: update the worker"
    if version_parts(client) < version_parts(least_client):
        return (
            f"it asks for version {least_client} of this pack, which is {client}: update the pack"
        )
    return None
