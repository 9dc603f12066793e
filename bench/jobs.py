"""How fast workers begin what waits: jobs that do nothing, so that all the time is the job service's.

Told is the time from the moment before the first is submitted until the last has begun, by the database's clock. They
are submitted in one transaction, each an execution of its own, and each asks once whether to go on, as every job does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench import processor_time, targets
from bench.targets import Working

NAME = "jobs"
NUMBER = 1000
LEAST = 100.0
"""Jobs a second that are promised."""
# No job of a real platform does nothing.
_KIND = """
from jobservice.job import Job, Queue, register
@register
class Nothing(Job):
    vendor_type, queue = "NOTHING", Queue.EVENT
    def run(self, ctx, params):
        ctx.checkpoint()
"""
_SUBMIT = """
import time
from django.db import transaction
from django.db.models import Max
from core import clock
from jobservice import service
from jobservice.models import Task
from jobservice.status import UNFINISHED, Status, Trigger
began = clock.now()
with transaction.atomic():
    ids = [service.submit(Nothing, trigger=Trigger.EVENT).id for _ in range({number})]
tasks = Task.objects.filter(execution_id__in=ids)
while tasks.filter(status__in=UNFINISHED).exists():
    time.sleep(0.5)
assert tasks.filter(status=Status.SUCCESS, run_count=1).count() == {number}
print("{mark}", (tasks.aggregate(last=Max("start_time"))["last"] - began).total_seconds())
"""


@dataclass(frozen=True)
class Start:
    """One round."""

    seconds: float
    """Until the last was begun."""
    cpu: dict[str, float]
    """Seconds of each program, until the last was ended."""

    @property
    def rate(self) -> float:
        """Jobs begun a second."""
        return NUMBER / self.seconds

    def cpu_us(self, program: str) -> float:
        """Microseconds of a program for one job."""
        return 1e6 * self.cpu[program] / NUMBER


def measure(rounds: int, var: Path | None) -> list[Start]:
    """On a platform of its own; with `var` its folder stays there. One more round goes before, which does not count."""
    with targets.working(var, _KIND) as working:
        _submit(working)
        return [_round(working) for _ in range(rounds)]


def missed(starts: Sequence[Start]) -> list[str]:
    """What was not reached, in words."""
    return [f"{NUMBER} jobs"] if starts and median_rate(starts) < LEAST else []


def median_rate(starts: Sequence[Start]) -> float:
    return median(start.rate for start in starts)


def _round(working: Working) -> Start:
    before = processor_time.used(working.programs)
    seconds = _submit(working)
    after = processor_time.used(working.programs)
    return Start(seconds, {name: after[name] - before[name] for name in working.programs})


def _submit(working: Working) -> float:
    """Submit them all, and wait until they have ended; how many seconds it took until the last was begun."""
    program = _KIND + _SUBMIT.format(number=NUMBER, mark=targets.MARK)
    return targets.seconds_told(working.platform, program)
