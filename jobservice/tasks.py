"""The only Celery tasks: bells that say that something may be to do. What, the database knows."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from typing import Any

from celery import Celery, Task, shared_task
from celery.schedules import schedule

from core.celery import app
from jobservice import periodic, runner, schedules
from jobservice import relay as relays


@shared_task
def upkeep(name: str) -> None:
    """Run one registered upkeep, if it is due."""
    periodic.run(name)


# Told at once that it was heard: a task whose worker dies is found by its lease. And its time is the job's affair.
@shared_task(bind=True, acks_late=False, time_limit=30 * 24 * 3600)
def run_task(self: Task[..., None], id: int) -> None:
    """Run one task of a job, if it is to be run."""
    runner.run(id, worker=f"{self.request.hostname}/{os.getpid()}")


@shared_task
def relay() -> None:
    """Let everybody who wants to hear of events hear of them."""
    relays.run()


@shared_task
def fire(id: int) -> None:
    """Submit what one schedule says, if it is time."""
    schedules.fire(id)


@app.on_after_finalize.connect
def ring_by_the_clock(sender: Celery, **_: Any) -> None:
    """Tell beat about every registered upkeep."""
    for name, entry in periodic.UPKEEP.items():
        sender.add_periodic_task(schedule(entry.bell, nowfun=_steady), upkeep.s(name), name=name)


def _steady() -> datetime:
    """For measuring how long ago the last bell was: a clock that is set back would silence beat for as long."""
    return datetime.fromtimestamp(time.monotonic(), UTC)
