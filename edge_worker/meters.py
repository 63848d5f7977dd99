"""Counts for Prometheus, in its text form. Labels hold no user's data."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence

BUCKETS_S = (0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0)
TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Meters:
    """What happened since the start. Kept by the event loop's thread alone."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str, str]] = Counter()  # method, route, status
        self.tasks: Counter[tuple[str, str]] = Counter()  # detector, outcome
        self.refused: Counter[tuple[str]] = Counter()  # why a connection was closed
        self.left: int = 0  # clients gone before their answer
        self._seconds: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}

    def add_seconds(self, detector: str, seconds: float) -> None:
        counts = self._seconds.setdefault(detector, [0] * (len(BUCKETS_S) + 1))
        counts[bisect_left(BUCKETS_S, seconds)] += 1
        self._sums[detector] = self._sums.get(detector, 0.0) + seconds

    def text(self, gauges: Mapping[str, float], totals: Mapping[str, float]) -> str:
        """Everything, with the values that others keep."""
        lines = [
            *_counter("tandem_requests_total", ("method", "route", "status"), self.requests),
            *_counter("tandem_tasks_total", ("detector", "outcome"), self.tasks),
            *_counter("tandem_connections_refused_total", ("reason",), self.refused),
            *self._histogram(),
        ]
        for kind, values in (("gauge", gauges), ("counter", totals)):
            for name, value in values.items():
                lines += [f"# TYPE tandem_{name} {kind}", f"tandem_{name} {value:g}"]
        return "\n".join(lines) + "\n"

    def _histogram(self) -> list[str]:
        name = "tandem_compute_seconds"
        lines = [f"# TYPE {name} histogram"]
        for detector, counts in self._seconds.items():
            bounds = [f"{bound:g}" for bound in BUCKETS_S] + ["+Inf"]
            for number, bound in enumerate(bounds):
                label = _labels(("detector", "le"), (detector, bound))
                lines.append(f"{name}_bucket{label} {sum(counts[: number + 1])}")
            label = _labels(("detector",), (detector,))
            lines.append(f"{name}_sum{label} {self._sums[detector]:g}")
            lines.append(f"{name}_count{label} {sum(counts)}")
        return lines


def _counter(name: str, keys: Sequence[str], counts: Mapping[tuple[str, ...], int]) -> list[str]:
    rows = [f"{name}{_labels(keys, values)} {count}" for values, count in sorted(counts.items())]
    return [f"# TYPE {name} counter", *rows]


def _labels(keys: Sequence[str], values: Sequence[str]) -> str:
    safe = (value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ") for value in values)
    return "{" + ",".join(f'{key}="{value}"' for key, value in zip(keys, safe, strict=True)) + "}"
