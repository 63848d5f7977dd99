"""What a worker did not do, and why: in words, and as a stable code."""

from __future__ import annotations

import json
import re
from typing import Any

from ..commands import command
from ..errors import Unavailable
from ..wire.problems import LONGEST_DETAIL, PROBLEM_TYPE, is_retryable
from .call import Reply

_ADD = command("workers add")
_ADVICE = {
    "bad_token": f"put the right token into the registry: {_ADD}",
    "no_token": f"put its token into the registry: {_ADD}",
    "bad_host": "start the worker with --allow-host and the name in its url",
    "refused": "start the worker, or correct its url in the registry",
    "unreachable": "is it switched on, and its port open?",
    "tls": "give its CA file in the registry, or correct the url",
    "old": "both sides need versions that know each other",
    "paused": "it failed three times in a row; it is asked again after the pause",
}
_OF_HEAD = {401: "bad_token", 403: "bad_host", 404: "unknown_blob", 429: "too_many_failures"}


class WorkerFailed(Unavailable):
    """A worker did not do what was asked, for whatever reason.

    `code` is the worker's own (engine/wire/problems.py), or one of the client's: refused,
    unreachable, tls, broken_link, deadline, lied, old, paused. `status` is that of HTTP, if any.
    """

    def __init__(
        self,
        alias: str,
        code: str,
        detail: str,
        *,
        retryable: bool = False,
        status: int | None = None,
        retry_after_s: float = 0.0,
    ) -> None:
        super().__init__(f"worker {alias!r}", f"{code}: {detail}", _ADVICE.get(code, "try another"))
        self.alias, self.code, self.retryable, self.status = alias, code, retryable, status
        self.retry_after_s = retry_after_s

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self.alias, self.code, self.seen, self.retryable, self.status)


def _rebuild(alias: str, code: str, seen: str, retryable: bool, status: int | None) -> WorkerFailed:
    detail = seen.removeprefix(f"{code}: ")
    return WorkerFailed(alias, code, detail, retryable=retryable, status=status)


def read_problem(alias: str, method: str, reply: Reply) -> WorkerFailed:
    """The worker's problem+json, or what came in its place; texts are cut and made printable."""
    form: Any = None
    if reply.headers.get("Content-Type") == PROBLEM_TYPE:
        try:
            form = json.loads(reply.body)
        except (ValueError, RecursionError):
            form = None
    if method == "HEAD" and (code := _OF_HEAD.get(reply.status)) is not None:
        return WorkerFailed(
            alias, code, "refused", retryable=is_retryable(code), status=reply.status
        )
    if not isinstance(form, dict) or not isinstance(form.get("code"), str):
        return WorkerFailed(
            alias, "lied", f"HTTP {reply.status} without a problem", status=reply.status
        )
    detail = "".join(c for c in str(form.get("detail"))[:LONGEST_DETAIL] if c.isprintable())
    code = "".join(c for c in form["code"][:40] if c.isalnum() or c == "_")
    after = reply.headers.get("Retry-After", "")
    return WorkerFailed(
        alias,
        code,
        detail,
        retryable=form.get("retryable") is True,
        status=reply.status,
        retry_after_s=float(after) if re.fullmatch(r"[0-9]{1,5}", after) else 0.0,
    )
