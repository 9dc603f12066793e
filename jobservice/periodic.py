"""Small upkeep that runs by the clock. Rooms register functions; any worker may run them.

However many beats ring, each upkeep runs once an interval, and one at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from core import clock, locks, redis
from jobservice.models import UpkeepRun

Work = Callable[[], object]
log = structlog.get_logger(__name__)
# How often the bell rings for what is done less often: a run that failed is made up for soon.
MOST_SILENCE = timedelta(minutes=1)
# A bell may come so much too early, in parts of the time between two bells, because the one before had to wait for a
# worker. Less than a half: else two beats that ring in turn would both be in time.
EARLY = 0.25


@dataclass(frozen=True)
class Upkeep:
    """What is done, and how often."""

    work: Work
    interval: timedelta

    @property
    def bell(self) -> timedelta:
        """How often each beat rings for it."""
        return min(self.interval, MOST_SILENCE)

    def is_due(self, *, last: datetime | None, now: datetime) -> bool:
        """Whether a bell at `now` is the next one, and not another beat's. A run dated in the future says nothing."""
        return last is None or not timedelta() <= now - last < self.interval - self.bell * EARLY


UPKEEP: dict[str, Upkeep] = {}


def every(interval: timedelta) -> Callable[[Work], Work]:
    """Run the decorated function at this interval; it must be safe to run twice, and to die halfway."""

    def register(work: Work) -> Work:
        UPKEEP[f"{work.__module__}.{work.__name__}"] = Upkeep(work, interval)
        return work

    return register


def run(name: str) -> bool:
    """Run one upkeep by name when it is due.

    False when it is not, when another worker is at it, or when Redis is away. What failed or died is due again at
    the next bell.
    """
    entry = UPKEEP[name]
    # Most bells end here.
    if not entry.is_due(last=_last(name), now=clock.now()):
        return False
    with locks.sole(f"upkeep:{name}") as is_mine:
        began = clock.now()
        if not is_mine or not entry.is_due(last=_last(name), now=began):
            return False
        try:
            entry.work()
        except redis.Away:
            return False
        UpkeepRun.objects.update_or_create(name=name, defaults={"began": began})
    log.info("upkeep_ran", name=name)
    return True


def _last(name: str) -> datetime | None:
    return UpkeepRun.objects.filter(name=name).values_list("began", flat=True).first()
