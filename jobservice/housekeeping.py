"""What the job service needs done by the clock: making up for what was lost, and clearing away what is old."""

from __future__ import annotations

from datetime import date, timedelta

import structlog
from django.db import OperationalError

from core import clock, partitions
from jobservice import relay, schedules, sweep, workers
from jobservice.models import Execution, Task, execution, task, task_log
from jobservice.periodic import every

log = structlog.get_logger(__name__)
# Whole months of history that are kept besides the current one.
KEPT_MONTHS = 3


@every(timedelta(minutes=1))
def look_after_tasks() -> None:
    sweep.end_lost()
    sweep.ring_again()


@every(timedelta(minutes=1))
def fire_schedules() -> None:
    schedules.fire_due()


@every(timedelta(minutes=1))
def relay_events() -> None:
    """What no bell was heard for."""
    relay.run()


@every(timedelta(minutes=1))
def retry_failed_events() -> None:
    """What could not be heard before."""
    relay.retry_failed()


@every(timedelta(minutes=10))
def forget_workers() -> None:
    workers.forget_gone()


@every(timedelta(hours=6))
def make_partitions() -> None:
    partitions.make_all()


@every(timedelta(hours=6))
def drop_old_months() -> None:
    """Executions, tasks and logs of months that are long over, unless something in them is still unfinished."""
    for month in execution.MONTHS.months():
        if month < oldest_kept(clock.now().date()) and not _is_anything_unfinished(month):
            _drop(month)


def oldest_kept(today: date) -> date:
    """The first day of the oldest month whose history is kept."""
    first = today.replace(day=1)
    for _ in range(KEPT_MONTHS):
        first = (first - timedelta(days=1)).replace(day=1)
    return first


def _is_anything_unfinished(month: date) -> bool:
    end = partitions.midnight(partitions.next_month(month))
    return (
        Execution.objects.unfinished().filter(start_time__lt=end).exists()
        or Task.objects.unfinished().filter(creation_time__lt=end).exists()
    )


def _drop(month: date) -> None:
    try:
        for table in (task_log.MONTHS, task.MONTHS, execution.MONTHS):
            if month in table.months():
                table.drop_partition(month)
        log.info("month_of_history_dropped", month=month.isoformat())
    except OperationalError:
        log.info("month_of_history_in_use", month=month.isoformat())
