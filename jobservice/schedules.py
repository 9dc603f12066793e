"""What runs by the clock: set, removed, and submitted when its time has come.

django-celery-beat rings for each schedule at its minutes; whether it is time the database decides, so two beats submit
once, and what no beat rang for (or Redis lost) is made up for by a look at all schedules each minute. Times that
passed while nothing ran are made up for by one run.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import structlog
from django.db import transaction
from django.db.models.functions import Now
from django_celery_beat.models import CrontabSchedule, PeriodicTask

from core import clock
from jobservice import cron, service
from jobservice.job import JOBS
from jobservice.models import PausedQueue, Schedule
from jobservice.status import Trigger

log = structlog.get_logger(__name__)
SCHEDULER = "SCHEDULER"
"""The queue whose pause holds all schedules."""
FIRE = "jobservice.tasks.fire"
_ANY_DAY = {"day_of_month": "*", "month_of_year": "*", "day_of_week": "*"}


def find(*, vendor_type: str, vendor_id: int = 0) -> Schedule | None:
    """What is set for a vendor."""
    return Schedule.objects.filter(vendor_type=vendor_type, vendor_id=vendor_id).first()


def put(
    *, vendor_type: str, vendor_id: int = 0, kind: Schedule.Kind, at: str, params: dict[str, Any] | None = None
) -> Schedule:
    """Set when a job runs, in place of what was set before. BadRequest when `at` is no cron."""
    minutes, hours = cron.minutes_and_hours(at)
    with transaction.atomic():
        schedule, _ = Schedule.objects.update_or_create(
            vendor_type=vendor_type,
            vendor_id=vendor_id,
            defaults={"kind": kind, "cron": at, "params": params or {}, "fired": Now(), "updated": Now()},
        )
        # Days and months are judged when it rings: where Go's cron says "or", Celery's says "and".
        # Nothing keeps two from being equal: one will do.
        at_these = {"minute": minutes, "hour": hours, "timezone": "UTC", **_ANY_DAY}
        times = CrontabSchedule.objects.filter(**at_these).first() or CrontabSchedule.objects.create(**at_these)
        PeriodicTask.objects.update_or_create(
            name=_name(schedule.pk),
            defaults={"task": FIRE, "crontab": times, "args": json.dumps([schedule.pk]), "enabled": True},
        )
    schedule.refresh_from_db()
    return schedule


def remove(*, vendor_type: str, vendor_id: int = 0) -> None:
    """Let it not run by the clock any more; nothing to do when it did not."""
    with transaction.atomic():
        # The schedule first, as `put` does.
        for schedule in Schedule.objects.select_for_update().filter(vendor_type=vendor_type, vendor_id=vendor_id):
            PeriodicTask.objects.filter(name=_name(schedule.pk)).delete()
            schedule.delete()


def next_time(schedule: Schedule) -> datetime | None:
    """When it is submitted next."""
    return cron.next_after(schedule.cron, schedule.fired)


def are_paused() -> bool:
    return PausedQueue.objects.filter(job_type=SCHEDULER).exists()


def fire(id: int) -> bool:
    """Submit what is scheduled, if it is time; of any number of bells for one time, one hears True."""
    now = clock.now()
    if are_paused():
        return False
    with transaction.atomic():
        schedule = Schedule.objects.select_for_update().filter(pk=id).first()
        if schedule is None or schedule.vendor_type not in JOBS or not _is_due(schedule, now):
            return False
        schedule.fired = now
        schedule.save(update_fields=["fired"])
        service.submit(
            JOBS[schedule.vendor_type],
            trigger=Trigger.SCHEDULE,
            vendor_id=schedule.vendor_id,
            params=schedule.params,
            extra_attrs=schedule.params,
        )
    log.info("schedule_fired", vendor_type=schedule.vendor_type, vendor_id=schedule.vendor_id)
    return True


def fire_due() -> int:
    """Submit everything whose time has come; returns how many."""
    known = Schedule.objects.filter(vendor_type__in=JOBS).order_by("pk")
    return sum(fire(id) for id in known.values_list("pk", flat=True))


def _is_due(schedule: Schedule, now: datetime) -> bool:
    at = next_time(schedule)
    return at is not None and at <= now


def _name(id: int) -> str:
    return f"schedule {id}"
