"""The client of an edge worker: capabilities, upload, preprocess. Trusts nothing it is told."""

from __future__ import annotations

import hashlib
import random
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from ..conditions import ConditionRequest, Photo, find_detector
from ..errors import BadInput
from ..wire.codecs import decode_hint, encode_lossy, encode_photo
from ..wire.pacing import LEAST_BYTES_PER_S
from ..wire.protocol import (
    DEADLINE_HEADER,
    HINT_TYPE,
    JOB_HEADER,
    RATE_HEADER,
    version_objection,
)
from .answer import Answer, hint_cap, hint_shape, server_timing
from .call import POLL_S, Cancelled, Http, NoAnswer, Reply
from .capabilities import MOST_BYTES, Capabilities, DetectorState, read_capabilities
from .codec_choice import WebpCost, choose_codec
from .failure import WorkerFailed, read_problem
from .known import known_worker
from .transfers import Transfer
from .workers import WorkerEntry

__all__ = [
    "Answer",
    "Cancelled",
    "Capabilities",
    "DetectorState",
    "Transfer",
    "WorkerClient",
    "WorkerFailed",
]

RETRIES = 2
TRY_AGAIN = frozenset({"queue_full", "worker_crashed", "unknown_blob", "broken_link"})
BLAMELESS = frozenset({"no_space", "draining", "deadline"})  # of the worker's own 5xx
_webp = WebpCost()
T = TypeVar("T")


class WorkerClient:
    """One worker. May be used from several threads; `close` it in the end."""

    def __init__(self, entry: WorkerEntry) -> None:
        self.entry = entry
        self._http = Http(entry)
        self._known = known_worker(entry.url, lossy=entry.lossy)

    def close(self) -> None:
        self._http.close()

    def capabilities(self, timeout_s: float = 3.0) -> Capabilities:
        """What the worker can do now.

        Raises:
            WorkerFailed: no usable answer, or versions that do not go together.
        """
        reply = self._ask("GET", "/v1/capabilities", MOST_BYTES, deadline_s=timeout_s)
        try:
            found = read_capabilities(reply.body, reply.total_s)
            objection = version_objection(found.version, found.min_client)
        except BadInput as error:
            raise self._lied(str(error)) from error
        if objection is not None:
            raise WorkerFailed(self.entry.alias, "old", objection)
        self._known.decode_s_per_mpixel = dict(found.decode_s_per_mpixel)
        return found

    def uplink_bytes_per_s(self) -> float | None:
        """Measured bandwidth to the worker, None before the first large transfer."""
        return self._known.uplink.bytes_per_s()

    def downlink_bytes_per_s(self) -> float | None:
        """Measured bandwidth from the worker, None before the first large transfer."""
        return self._known.downlink.bytes_per_s()

    def upload(
        self,
        photo: Photo,
        *,
        cancelled: threading.Event,
        deadline_s: float,
        bytes_per_s: float | None = None,
    ) -> Transfer | None:
        """Make sure that the worker has the photo; send it no quicker than `bytes_per_s`.

        Returns:
            What it took, None if the worker had it.
        Raises:
            WorkerFailed, Cancelled
        """
        return self._retried(
            lambda left_s: self._upload(photo, cancelled, left_s, bytes_per_s),
            cancelled,
            deadline_s,
        )

    def preprocess(
        self,
        request: ConditionRequest,
        photo: Photo,
        *,
        cancelled: threading.Event,
        deadline_s: float,
        bytes_per_s: float | None = None,
        arriving: Callable[[], None] | None = None,
    ) -> Answer:
        """The hint of one photo, equal to `detect(request, photo)` bit by bit unless it is lossy.

        It comes no quicker than `bytes_per_s`; `arriving` is called, in any thread, when it begins.

        Raises:
            WorkerFailed, Cancelled
        """
        sent: list[Transfer] = []

        def attempt(left_s: float) -> Answer:
            ends = time.monotonic() + left_s
            if self._known.blob_of(photo.sha256) is None:
                transfer = self._upload(photo, cancelled, left_s)
                sent.extend([] if transfer is None else [transfer])
            blob = self._known.blob_of(photo.sha256) or ""
            try:
                reply = self._compute(
                    request,
                    blob,
                    hint_cap(request, photo),
                    cancelled,
                    ends - time.monotonic(),
                    bytes_per_s,
                    arriving,
                )
            except WorkerFailed as error:
                if error.code == "unknown_blob":
                    self._known.lost(photo.sha256)  # the next attempt sends it again
                raise
            paced = bytes_per_s is not None
            return self._answer(request, photo, reply, sent[-1] if sent else None, paced)

        return self._retried(attempt, cancelled, deadline_s)

    def _compute(
        self,
        request: ConditionRequest,
        blob: str,
        most_bytes: int,
        cancelled: threading.Event,
        left_s: float,
        bytes_per_s: float | None = None,
        arriving: Callable[[], None] | None = None,
    ) -> Reply:
        call = secrets.token_hex(16)
        form = {
            "photo_sha256": blob,
            "params": dict(request.params),
            "resolution": request.resolution,
        }
        headers = {JOB_HEADER: call, DEADLINE_HEADER: f"{max(left_s, 0.01):.3f}"}
        if bytes_per_s is not None:
            headers[RATE_HEADER] = f"{min(max(bytes_per_s, LEAST_BYTES_PER_S), 1e12):.0f}"
        try:
            return self._ask(
                "POST",
                f"/v1/preprocess/{request.detector}",
                most_bytes,
                form=form,
                headers=headers,
                cancelled=cancelled,
                deadline_s=left_s,
                arriving=arriving,
            )
        except Cancelled:
            # The closed connection says it too, but a proxy may keep it from the worker.
            threading.Thread(target=self._cancel, args=(call,), daemon=True).start()
            raise

    def _cancel(self, call: str) -> None:
        try:
            self._http.ask("DELETE", f"/v1/jobs/{call}", deadline_s=2.0, most_bytes=4096)
        except NoAnswer:
            return  # the closed connection has to do

    def _answer(
        self,
        request: ConditionRequest,
        photo: Photo,
        reply: Reply,
        up: Transfer | None,
        paced: bool,
    ) -> Answer:
        shape = hint_shape(request, photo)
        try:
            if reply.headers.get("Content-Type") != HINT_TYPE:
                raise BadInput("hint", reply.headers.get("Content-Type"), f"need {HINT_TYPE}")
            bits = find_detector(request.detector).bits
            picture = decode_hint(reply.body, shape, bits)
        except BadInput as error:
            raise self._lied(str(error)) from error
        self._known.breaker.succeeded()  # not before: what else it answers may be lies
        spent = server_timing(reply.headers.get("Server-Timing", ""), reply.total_s)
        busy_s = min(sum(spent.values()), reply.total_s)  # rounding
        down = Transfer(len(reply.body), reply.total_s - busy_s)
        if not paced:  # else it tells nothing of the link
            self._known.downlink.add(down)
        return Answer(
            picture,
            compute_s=spent.get("compute", reply.total_s),
            queue_s=spent.get("queue", 0.0),
            load_s=spent.get("load", 0.0),
            codec_s=spent.get("decode", 0.0) + spent.get("encode", 0.0),
            up=up,
            down=down,
        )

    def _upload(
        self,
        photo: Photo,
        cancelled: threading.Event,
        left_s: float,
        bytes_per_s: float | None = None,
    ) -> Transfer | None:
        ends = time.monotonic() + left_s
        door = self._known.uploading(photo.sha256)
        while not door.acquire(timeout=POLL_S):
            if cancelled.is_set():
                raise Cancelled
            if time.monotonic() > ends:
                raise WorkerFailed(self.entry.alias, "deadline", "another upload took too long")
        try:
            known = self._known.blob_of(photo.sha256)
            if known is not None and self._holds(known, cancelled, ends - time.monotonic()):
                return None
            data = self._encode(photo)
            blob = hashlib.sha256(data).hexdigest()
            ask = known != blob and self._known.is_worth_asking(len(data))
            if ask and self._holds(blob, cancelled, ends - time.monotonic()):
                self._known.has(photo.sha256, blob)
                return None
            reply = self._ask(
                "PUT",
                f"/v1/blobs/{blob}",
                4096,
                body=data,
                headers={"Content-Type": "application/octet-stream"},
                cancelled=cancelled,
                deadline_s=ends - time.monotonic(),
                bytes_per_s=bytes_per_s,
            )
            transfer = Transfer(len(data), reply.sending_s)
            if bytes_per_s is None:  # else it tells nothing of the link
                self._known.uplink.add(transfer)
            self._known.has(photo.sha256, blob)
            return transfer
        finally:
            door.release()

    def _holds(self, blob: str, cancelled: threading.Event, left_s: float) -> bool:
        began, held = time.perf_counter(), True
        try:
            self._ask("HEAD", f"/v1/blobs/{blob}", 0, cancelled=cancelled, deadline_s=left_s)
        except WorkerFailed as error:
            if error.status != 404:
                raise
            held = False
        self._known.question_s = time.perf_counter() - began
        return held

    def _encode(self, photo: Photo) -> bytes:
        if self.entry.lossy:
            return encode_lossy(photo.pixels)
        pixels = photo.pixels.shape[0] * photo.pixels.shape[1]
        rate = self._known.uplink.bytes_per_s()
        decode = self._known.decode_s_per_mpixel
        if choose_codec(pixels, _webp.of_pixel(photo), decode, rate) == "webp":
            return _webp.encode(photo)
        return encode_photo(photo.pixels, "raw")

    def _retried(
        self, attempt: Callable[[float], T], cancelled: threading.Event, deadline_s: float
    ) -> T:
        """At most two more attempts, where they can help and the deadline leaves time for them."""
        ends = time.monotonic() + deadline_s
        for left in range(RETRIES, -1, -1):
            try:
                return attempt(ends - time.monotonic())
            except WorkerFailed as error:
                pause_s = max(error.retry_after_s, 0.05) * random.uniform(0.5, 1.5)  # noqa: S311
                too_late = time.monotonic() + pause_s > ends
                if error.code not in TRY_AGAIN or not error.retryable or not left or too_late:
                    raise
                if cancelled.wait(pause_s):
                    raise Cancelled from error
        raise AssertionError("unreachable")

    def _ask(
        self,
        method: str,
        path: str,
        most_bytes: int,
        *,
        deadline_s: float,
        form: Mapping[str, Any] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        cancelled: threading.Event | None = None,
        bytes_per_s: float | None = None,
        arriving: Callable[[], None] | None = None,
    ) -> Reply:
        """One call; every answer but success raises WorkerFailed, and counts for the pause."""
        alias, breaker = self.entry.alias, self._known.breaker
        if (pause_s := breaker.pause_s()) > 0:
            raise WorkerFailed(alias, "paused", f"for {pause_s:.0f} s more")
        try:
            reply = self._http.ask(
                method,
                path,
                deadline_s=max(deadline_s, 0.001),
                most_bytes=max(most_bytes, 16384),
                form=form,
                body=body,
                headers=headers,
                cancelled=cancelled,
                bytes_per_s=bytes_per_s,
                arriving=arriving,
            )
        except NoAnswer as error:
            failure = WorkerFailed(alias, error.code, error.detail, retryable=error.code != "lied")
            if error.code != "refused":  # that costs nothing, and ends as soon as it is started
                breaker.failed()
            raise failure from error
        if reply.status in (200, 201, 202):
            return reply
        failure = read_problem(alias, method, reply)
        if failure.code == "lied" or (reply.status >= 500 and failure.code not in BLAMELESS):
            breaker.failed()
        raise failure

    def _lied(self, detail: str) -> WorkerFailed:
        self._known.breaker.failed()
        return WorkerFailed(self.entry.alias, "lied", detail)
