"""What a job is: a class with a name and a `run`, registered under Harbor's word for it."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from jobservice.context import Context


class Queue(StrEnum):
    """Who waits for the work. Each is a queue of Celery's; only the last two share their worker processes."""

    INTERACTIVE = "interactive"
    """Somebody looks at the screen."""
    EVENT = "event"
    """Something was pushed, pulled or deleted."""
    SCHEDULED = "scheduled"
    BULK = "bulk"
    """Much of it, and nobody waits."""


class Job:
    """Subclass me, and decorate with `register`.

    Parameters are ids and small values, never secrets; rows are read afresh. A job is safe to run twice and to
    die halfway, and asks at every step whether to stop (`ctx.checkpoint()`).
    """

    vendor_type: ClassVar[str]
    queue: ClassVar[Queue]
    attempts: ClassVar[int] = 3
    """Tries in all."""
    most_at_once: ClassVar[int | None] = None
    """How many tasks of the type may run at a time, of all workers together; None: as many as there are workers. An
    operator may want fewer (`turns.most_of`)."""
    longest: ClassVar[timedelta] = timedelta(hours=24)
    """A try that takes longer is over."""

    def run(self, ctx: Context, params: dict[str, Any]) -> None:
        """Do one task. An error that is raised ends the try; with `permanent = True` on it, there is no other."""
        raise NotImplementedError


JOBS: dict[str, type[Job]] = {}


def register(job: type[Job]) -> type[Job]:
    """Make a job known under its vendor type."""
    JOBS[job.vendor_type] = job
    return job
