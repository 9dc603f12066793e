"""Small upkeep that runs by the clock. Rooms register functions; any worker may run them, one at a time each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog
from django.db import connection, transaction

from core import redis

Work = Callable[[], object]
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Upkeep:
    """What is done, and how often."""

    work: Work
    interval: timedelta


UPKEEP: dict[str, Upkeep] = {}


def every(interval: timedelta) -> Callable[[Work], Work]:
    """Run the decorated function at this interval; it must be safe to run twice, and to die halfway."""

    def register(work: Work) -> Work:
        UPKEEP[f"{work.__module__}.{work.__name__}"] = Upkeep(work, interval)
        return work

    return register


def run(name: str) -> bool:
    """Run one upkeep by name; False when another worker is at it, or Redis is away (the clock comes again)."""
    with transaction.atomic(), connection.cursor() as cursor:
        # Two beats, or a slow run and the next one: the lock lets one through and ends with the transaction.
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtext(%s))", [f"upkeep:{name}"])
        if not cursor.fetchone()[0]:
            return False
        try:
            UPKEEP[name].work()
        except redis.Away:
            return False
    return True
