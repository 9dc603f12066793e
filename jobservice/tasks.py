"""The only Celery tasks."""

from __future__ import annotations

from typing import Any

from celery import Celery, shared_task

from core.celery import app
from jobservice import periodic


@shared_task
def upkeep(name: str) -> None:
    """Run one registered upkeep."""
    periodic.run(name)


@app.on_after_finalize.connect
def ring_by_the_clock(sender: Celery, **_: Any) -> None:
    """Tell beat about every registered upkeep."""
    for name, entry in periodic.UPKEEP.items():
        sender.add_periodic_task(entry.interval.total_seconds(), upkeep.s(name), name=name)
