"""One worker's lane: photos up, one at a time over a link; requests; hints down."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..conditions import Condition, Photo
from .client import Answer, Cancelled, WorkerClient, WorkerFailed
from .costs import LEAST_LOAD_S, Costs
from .offload import Offload
from .outlook import Job
from .run import POLL_S, Run
from .timeline import Span

LEAST_DEADLINE_S = 120.0  # of a request; a slow worker is helped out long before
# What a worker says of one task; everything else is said of the worker itself.
OF_ONE_TASK = frozenset(
    {"unknown_detector", "detector_failed", "bad_param", "bad_photo", "crashed_before", "too_large"}
)


class EdgeLane:
    """What the threads of one worker share. The last of them closes the client."""

    def __init__(
        self,
        run: Run,
        offload: Offload,
        costs: Costs,
        alias: str,
        client: WorkerClient,
        link: threading.Lock,
        threads: int,
    ) -> None:
        self._run, self._offload, self._costs = run, offload, costs
        self._alias, self._client, self._link = alias, client, link
        self._left = threads
        self._lock = threading.Lock()
        self._deadline_s = max(LEAST_DEADLINE_S, 10 * offload.plan.makespan_s)

    def serve(self) -> None:
        """Takes jobs until there are none."""
        try:
            while taken := self._run.take(self._alias):
                self._do(*taken)
        finally:
            with self._lock:
                self._left -= 1
                last = not self._left
            if last:
                self._client.close()

    def _do(self, job: Job, stop: threading.Event) -> None:
        try:
            self._process(job, stop)
        except Cancelled:
            if self._run.drop(job):
                self._costs.observe_stop(self._alias)
        except WorkerFailed as error:
            if error.code in OF_ONE_TASK:
                self._run.refuse(job, error)
            else:
                self._run.fail(self._alias, error, job)

    def _process(self, job: Job, stop: threading.Event) -> None:
        condition = self._run.condition(job.task)
        parts = [self._photo(job, condition, photo, stop) for photo in condition.photos]
        run_s, load_s = sum(part.run_s for part in parts), sum(part.load_s for part in parts)
        prior, detector = self._offload.priors[job.task][self._alias], condition.request.detector
        start = self._offload.starts[self._alias]
        self._costs.observe_load(self._alias, start, detector, load_s)
        self._costs.observe_run(self._offload.accounts[self._alias], detector, prior, run_s)
        self._run.arrive(
            job,
            tuple(part.picture for part in parts),
            sum(part.compute_s for part in parts),
            run_s + load_s,
            [span for part in parts for span in part.spans],
        )

    def _photo(self, job: Job, condition: Condition, photo: Photo, stop: threading.Event) -> _Part:
        self._send(job, photo, stop)
        self._run.tell(job, "running")
        begin = self._run.now()
        answer = self._client.preprocess(
            condition.request,
            photo,
            cancelled=stop,
            deadline_s=self._deadline_s,
            bytes_per_s=self._offload.down_bytes_per_s(self._alias, job.task),
            arriving=lambda: self._run.tell(job, "downloading"),
        )
        end = self._run.now()
        return self._part(job, answer, begin, end)

    def _send(self, job: Job, photo: Photo, stop: threading.Event) -> None:
        """Puts a photo on the worker, unless it is there."""
        if self._run.holds(self._alias, photo.sha256):
            return
        rate = self._offload.up_bytes_per_s(self._alias, photo.sha256)
        with _locked(self._link, stop) if rate is None else nullcontext():
            if self._run.holds(self._alias, photo.sha256):
                return  # the other thread sent it meanwhile
            self._run.tell(job, "uploading")
            transfer = self._client.upload(
                photo, cancelled=stop, deadline_s=self._deadline_s, bytes_per_s=rate
            )
            end = self._run.now()
        span = None
        if transfer:
            start = max(0.0, end - transfer.seconds)
            what = self._offload.sent_as(job.task, photo)
            span = Span(what, self._alias, "up", start, end)
            if rate is None:  # else it tells nothing of the link
                self._costs.observe_transfer(self._alias, "up", transfer.bytes, transfer.seconds)
        self._costs.observe_photo(self._alias, self._offload.starts[self._alias], photo)
        self._run.sent(self._alias, photo.sha256, span)

    def _part(self, job: Job, answer: Answer, begin: float, end: float) -> _Part:
        """Lays out backwards from its end what the worker says it spent."""
        down = answer.down.seconds
        up = answer.up.seconds if answer.up else 0.0
        run_s = max(end - begin - down - up - answer.queue_s - answer.load_s, answer.compute_s)
        ran = end - down
        spans = [
            Span(job.task, self._alias, "down", ran, end),
            Span(job.task, self._alias, "run", max(begin, ran - run_s), ran),
        ]
        if answer.load_s > LEAST_LOAD_S:
            start = ran - run_s
            spans.append(
                Span(job.task, self._alias, "load", max(begin, start - answer.load_s), start)
            )
        if not self._offload.shares:
            self._costs.observe_transfer(self._alias, "down", answer.down.bytes, down)
        return _Part(answer.picture, answer.compute_s, run_s, answer.load_s, spans)


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """The hint of one photo."""

    picture: NDArray[np.uint8 | np.uint16]
    compute_s: float
    run_s: float  # and all that comes with the request, but transfers, queue and loading
    load_s: float
    spans: list[Span]


@contextmanager
def _locked(lock: threading.Lock, stop: threading.Event) -> Generator[None]:
    while not lock.acquire(timeout=POLL_S):
        if stop.is_set():
            raise Cancelled
    try:
        yield
    finally:
        lock.release()
