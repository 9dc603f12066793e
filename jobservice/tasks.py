"""The only Celery tasks."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from celery import Celery, shared_task
from celery.schedules import schedule

from core.celery import app
from jobservice import periodic


@shared_task
def upkeep(name: str) -> None:
    """Run one registered upkeep, if it is due."""
    periodic.run(name)


@app.on_after_finalize.connect
def ring_by_the_clock(sender: Celery, **_: Any) -> None:
    """Tell beat about every registered upkeep."""
    for name, entry in periodic.UPKEEP.items():
        sender.add_periodic_task(schedule(entry.bell, nowfun=_steady), upkeep.s(name), name=name)


def _steady() -> datetime:
    """For measuring how long ago the last bell was: a clock that is set back would silence beat for as long."""
    return datetime.fromtimestamp(time.monotonic(), UTC)
