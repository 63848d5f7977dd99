"""Running a plan: this machine and every worker at once.

Each lane is a few threads that ask for work. The caller's own thread passes progress on, watches
`cancelled`, and leaves as soon as every hint is home: a detector that still runs here by then
finishes in the background, a request to a worker is told to stop.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

from ..conditions import detect, load
from ..errors import BadInput, TandemError
from .board import places
from .client import Cancelled, WorkerClient
from .costs import LEAST_LOAD_S, Costs
from .edge_lane import EdgeLane
from .instance import LOCAL
from .kept import KeptHints
from .lossy import loss_notes
from .offload import Offload
from .outlook import Job
from .run import Run
from .timeline import Span
from .trace import Outcome, Progress

REPORT_S = 0.2


def run_lanes(
    offload: Offload,
    costs: Costs,
    kept: KeptHints | None = None,
    *,
    report: Callable[[Progress], None],
    cancelled: threading.Event,
) -> Outcome:
    """The hints of a plan. Blocks; `report` is called in this thread, about 5 times a second and
    in the end.

    A worker that fails is closed for the run and its conditions go to other lanes. The plan may
    be old: what its workers do by now decides. What is made goes to the `kept` hints, and what
    is among them is not made.

    Raises:
        Cancelled: `cancelled` was set; within a tenth of a second.
        Unavailable: a condition is pinned to the edge, and no worker is left that can run it.
    """
    run = Run(offload, kept)
    told_s = -REPORT_S
    try:
        _start(run, offload, costs)
        while run.wait():
            if cancelled.is_set():
                raise Cancelled
            if run.now() - told_s >= REPORT_S:
                told_s = run.now()
                report(run.progress())
        outcome = run.outcome()
        report(run.progress())
    finally:
        run.stop()
    losses = loss_notes(outcome.hints, {entry.alias: entry for entry in offload.workers})
    return replace(outcome, warnings=(*outcome.warnings, *losses))


def _start(run: Run, offload: Offload, costs: Costs) -> None:
    if not run.wanting:
        return
    for number in range(places(offload.instance, LOCAL)):
        _thread(run, f"tandem-local-{number}", lambda: _serve_here(run, offload, costs))
    links = {worker.link_id: threading.Lock() for worker in offload.instance.workers}
    for entry in offload.workers:
        try:
            client = WorkerClient(entry)
        except TandemError as error:  # such as a token that is not set any more
            run.fail(entry.alias, error)
            continue
        threads = places(offload.instance, entry.alias)
        link = links[offload.instance.worker[entry.alias].link_id]
        lane = EdgeLane(run, offload, costs, entry.alias, client, link, threads)
        for number in range(threads):
            _thread(run, f"tandem-{entry.alias}-{number}", lane.serve)


def _thread(run: Run, name: str, work: Callable[[], None]) -> None:
    def guarded() -> None:
        try:
            work()
        except BaseException as error:  # for the caller's thread, which raises it
            run.crash(error)

    threading.Thread(target=guarded, name=name, daemon=True).start()


def _serve_here(run: Run, offload: Offload, costs: Costs) -> None:
    while taken := run.take(LOCAL):
        _run_here(run, offload, costs, taken[0])


def _run_here(run: Run, offload: Offload, costs: Costs, job: Job) -> None:
    condition = run.condition(job.task)
    detector = condition.request.detector
    begin = run.now()
    try:
        load(detector)
        loaded = run.now()
        pictures = tuple(detect(condition.request, photo) for photo in condition.photos)
    except BadInput:
        raise  # no lane can
    except Exception as error:  # a package or weights missing, a detector broken: a worker may
        run.refuse(job, error)
        return
    end = run.now()
    costs.observe_load(LOCAL, offload.starts[LOCAL], detector, loaded - begin)
    costs.observe_run(
        offload.accounts[LOCAL], detector, offload.priors[job.task][LOCAL], end - loaded
    )
    spans = [Span(job.task, LOCAL, "run", loaded, end)]
    if loaded - begin > LEAST_LOAD_S:
        spans.append(Span(job.task, LOCAL, "load", begin, loaded))
    run.arrive(job, pictures, end - loaded, end - begin, spans)
