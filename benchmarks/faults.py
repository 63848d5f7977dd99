"""Whatever becomes of a worker or the way to it, every hint is right and soon there.

A real worker process, paced as in `offload`, behind a relay. It is killed at random moments, the
line is cut for three seconds, slowed ten times, or answers garbage. What counts is the time from
the failure to the last hint, against all detectors run here. Cancelled runs are timed beside it.
"""

from __future__ import annotations

import json
import random
import statistics
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from ..engine.errors import TandemError
from ..headless.line import Line
from .paced_lanes import Bench, Paced, paced_worker, photo, profiles, scaled
from .paces import Paces
from .run_cancels import cancel_figures
from .shaped import Place

LONG = {"canny": 0.9, "scribble": 0.7, "blur": 0.5, "tile": 0.8, "lineart_standard": 0.3}
SPEEDUP = 2.0
RATE = 1.25e6  # bytes a second: 10 Mbit/s
GARBAGE = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 7\r\n\r\ngarbage"
LONG_S = 3.0  # of all detectors here: from there on a share is allowed, below it seconds
SHARE, SECONDS = 1.1, 0.7
HERE = Place((), "127.0.0.1", False)
DONE = Path(__file__).resolve().parents[1] / "test_output" / "faults_done.json"


@dataclass(frozen=True)
class Settings:
    """How often each fault happens."""

    kills: int = 60  # half of them in long runs
    cuts: int = 10
    slowed: int = 10
    garbage: int = 10
    cancels: int = 30


QUICK = Settings(kills=1, cuts=1, slowed=1, garbage=1, cancels=2)
EXACT = ("wrong_hints", "lost_runs")


@dataclass(frozen=True)
class Case:
    """One failure: what it was, and how long after it the last hint came."""

    kind: str
    after_s: float | None  # None: the run had ended before
    all_local_s: float
    right: bool
    lost: bool

    @property
    def within(self) -> bool:
        limit = SHARE * self.all_local_s
        if self.all_local_s < LONG_S:
            limit = self.all_local_s + SECONDS
        return self.after_s is None or self.after_s <= limit


def measure(settings: Settings) -> dict[str, float]:
    """All figures; shares are of the failures that came before the end of their run.

    Finished failures of a full run that was stopped are not had again.
    """
    cases: list[Case] = []
    for kind, count in _counts(settings).items():
        cases += _series(kind, count, kept=settings == Settings())
    hit = [case for case in cases if case.after_s is not None]
    figures: dict[str, float] = {
        "wrong_hints": sum(not case.right for case in cases),
        "lost_runs": sum(case.lost for case in cases),
        "failures": len(cases),
        "failures_before_the_end": len(hit),
        "within_pct": 100 * statistics.mean(case.within for case in hit) if hit else 100.0,
    }
    for kind in _counts(settings):
        some = [case for case in hit if case.kind == kind]
        if some:
            shares = [(case.after_s or 0.0) / case.all_local_s for case in some]
            figures[f"within_pct_{kind}"] = 100 * statistics.mean(case.within for case in some)
            figures[f"worst_ratio_{kind}"] = max(shares)
            figures[f"median_ratio_{kind}"] = statistics.median(shares)
    return figures | cancel_figures(settings.cancels, LONG, SPEEDUP, RATE, HERE)


def _counts(settings: Settings) -> dict[str, int]:
    return {
        "kill": settings.kills,
        "cut": settings.cuts,
        "slowed": settings.slowed,
        "garbage": settings.garbage,
    }


def _series(kind: str, count: int, *, kept: bool) -> list[Case]:
    """So many failures of a kind; all but the killed share one worker."""
    found = json.loads(DONE.read_text("utf-8")) if kept and DONE.exists() else {}
    with ExitStack() as stack:
        worker: Paced | None = None
        for number in range(count):
            name = f"{kind} {number}"
            if name in found:
                continue
            here = scaled(LONG, 0.3) if kind == "kill" and not number % 2 else LONG
            if worker is None or kind == "kill":
                stack.close()
                worker = stack.enter_context(paced_worker(HERE, scaled(here, 1 / SPEEDUP)))
            found[name] = asdict(_case(kind, number, here, worker))
            if kept:
                DONE.parent.mkdir(parents=True, exist_ok=True)
                DONE.write_text(json.dumps(found), "utf-8")
    return [Case(**found[f"{kind} {number}"]) for number in range(count)]


def _case(kind: str, number: int, here: Paces, worker: Paced) -> Case:
    """A fault at a moment that hangs on the kind and number alone."""
    chance = random.Random(f"{kind} {number}")  # noqa: S311
    all_local_s = sum(here.values())
    with Line(f"http://{HERE.host}:{worker.port}", RATE, RATE) as line:
        bench = Bench(here, profiles(here, scaled(here, 1 / SPEEDUP)))
        entry = worker.entry(line.url)
        bench.run(bench.plan("all edge", entry, photo(2 * number)))
        offload = bench.plan("planned", entry, photo(2 * number + 1))
        when = chance.uniform(0.0, offload.plan.makespan_s)
        timer = threading.Timer(when, _fault(kind, worker, line))
        timer.start()
        try:
            ran = bench.run(offload)
        except TandemError:
            return Case(kind, None, all_local_s, right=False, lost=True)
        finally:
            timer.cancel()
            timer.join()
            line.mend()
    after = ran.seconds - when
    return Case(kind, after if after > 0 else None, all_local_s, ran.right, lost=False)


def _fault(kind: str, worker: Paced, line: Line) -> Callable[[], None]:
    def cut() -> None:
        line.cut()
        mending = threading.Timer(3.0, line.mend)
        mending.daemon = True
        mending.start()

    def lie() -> None:
        line.lie = GARBAGE

    return {
        "kill": worker.process.kill,
        "cut": cut,
        "slowed": lambda: line.slow_down(10.0),
        "garbage": lie,
    }[kind]
