"""Executions, tasks and logs of months that are over go with their months, and not before."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from django.db import OperationalError

from core.partitions import MonthlyTable
from jobservice import housekeeping
from jobservice.models import Execution, Task, TaskLog, execution, task, task_log
from jobservice.status import Status, Trigger
from tests.jobservice.jobs import Work

pytestmark = pytest.mark.django_db
TABLES = (execution.MONTHS, task.MONTHS, task_log.MONTHS)
LONG_AGO = date(2020, 1, 1)


@pytest.fixture
def months() -> list[date]:
    """January and February of 2020, as they were made then, besides those of today."""
    for table in TABLES:
        table.make_partitions(LONG_AGO)
    return [date(2020, 1, 1), date(2020, 2, 1)]


def happened(month: date, status: Status = Status.SUCCESS) -> int:
    """An execution of that month with a task and a line of its log; its id."""
    then = datetime(month.year, month.month, 15, tzinfo=UTC)
    run = Execution.objects.create(vendor_type=Work.vendor_type, trigger=Trigger.MANUAL, start_time=then, status=status)
    made = Task.objects.create(
        execution_id=run.id, vendor_type=Work.vendor_type, queue="bulk", creation_time=then, status=status
    )
    TaskLog.objects.create(task_id=made.id, creation_time=then, text="a line\n")
    return run.id


def kept() -> list[int]:
    return sorted(Execution.objects.values_list("id", flat=True))


def of_2020(table: MonthlyTable) -> list[date]:
    return [month for month in table.months() if month.year == 2020]


def test_months_that_are_long_over_are_dropped_whole(months: list[date]) -> None:
    for month in months:
        happened(month)
    today = Execution.objects.create(vendor_type=Work.vendor_type, trigger=Trigger.MANUAL).id
    housekeeping.drop_old_months()
    assert [of_2020(table) for table in TABLES] == [[], [], []]
    assert (kept(), Task.objects.count(), TaskLog.objects.count()) == ([today], 0, 0)


def test_a_month_in_which_something_is_unfinished_stays_with_all_that_came_later(months: list[date]) -> None:
    done, waits = happened(months[0]), happened(months[1], Status.PENDING)
    housekeeping.drop_old_months()
    assert [of_2020(table) for table in TABLES] == [[months[1]]] * 3
    assert kept() == [waits]
    Task.objects.update(status=Status.STOPPED)
    Execution.objects.update(status=Status.STOPPED)
    housekeeping.drop_old_months()
    assert kept() == []
    assert done != waits


def test_a_month_that_is_in_use_is_left_for_another_time(months: list[date], monkeypatch: pytest.MonkeyPatch) -> None:
    run = happened(months[0])

    def be_in_use(*_: object) -> None:
        raise OperationalError("canceling statement due to lock timeout")

    with monkeypatch.context() as patched:
        patched.setattr(MonthlyTable, "drop_partition", be_in_use)
        housekeeping.drop_old_months()
    assert kept() == [run]
    housekeeping.drop_old_months()
    assert kept() == []
