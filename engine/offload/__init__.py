"""Which conditions run where and when, and running them: plan, simulate, lanes, edge workers."""

from .bound import lower_bound
from .client import Cancelled, WorkerClient, WorkerFailed
from .costs import Costs
from .instance import LOCAL, Input, Instance, Lane, Task, Worker
from .kept import KeptHints
from .lanes import run_lanes
from .offload import Offload, plan_conditions
from .payload import offload_payload, progress_payload
from .plan import Plan
from .planner import plan
from .profile import Measured, Profile
from .simulate import simulate
from .timeline import Span, Timeline
from .trace import Outcome, Progress, Row
from .workers import WorkerEntry, add_worker, read_workers, remove_worker

__all__ = [
    "LOCAL",
    "Cancelled",
    "Costs",
    "Input",
    "Instance",
    "KeptHints",
    "Lane",
    "Measured",
    "Offload",
    "Outcome",
    "Plan",
    "Profile",
    "Progress",
    "Row",
    "Span",
    "Task",
    "Timeline",
    "Worker",
    "WorkerClient",
    "WorkerEntry",
    "WorkerFailed",
    "add_worker",
    "lower_bound",
    "offload_payload",
    "plan",
    "plan_conditions",
    "progress_payload",
    "read_workers",
    "remove_worker",
    "run_lanes",
    "simulate",
]
