"""What runs by the clock, however many beats ring."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from celery.beat import ScheduleEntry
from django.db.models.functions import Now
from django_celery_beat.models import CrontabSchedule, PeriodicTask

from core import clock, errors
from core.celery import app
from jobservice import beat, cron, schedules, tasks
from jobservice.models import Execution, PausedQueue, Schedule
from tests.jobservice.jobs import Work, tasks_of

pytestmark = pytest.mark.django_db
Kind = Schedule.Kind


def put(at: str = cron.HOURLY, kind: Kind = Kind.HOURLY) -> Schedule:
    return schedules.put(vendor_type=Work.vendor_type, kind=kind, at=at, params={"workers": 2})


def make_due(schedule: Schedule, ago: timedelta = timedelta(hours=1)) -> None:
    Schedule.objects.filter(pk=schedule.pk).update(fired=Now() - ago)


def test_it_is_submitted_once_for_each_time_whoever_rings() -> None:
    schedule = put()
    assert not schedules.fire(schedule.pk)
    make_due(schedule)
    assert [schedules.fire(schedule.pk), schedules.fire(schedule.pk), schedules.fire_due()] == [True, False, 0]
    execution = Execution.objects.get()
    assert (execution.trigger, execution.extra_attrs) == ("SCHEDULE", {"workers": 2})
    assert [task.params for task in tasks_of(execution)] == [{"workers": 2}]


def test_what_no_beat_rang_for_is_made_up_for_once() -> None:
    make_due(put(), timedelta(days=3))
    assert [schedules.fire_due(), schedules.fire_due()] == [1, 0]


def test_the_next_time_is_the_next_full_hour() -> None:
    schedule = put()
    expected = (clock.now() + timedelta(hours=1)).replace(minute=0, second=0, microsecond=0)
    assert schedules.next_time(schedule) == expected


def test_a_schedule_of_each_vendor_replaces_the_one_before() -> None:
    first, second = put(), put("0 5,35 2 * * 1", Kind.CUSTOM)
    assert (first.pk, second.cron) == (second.pk, "0 5,35 2 * * 1")
    times = PeriodicTask.objects.get(name=f"schedule {second.pk}").crontab
    assert (times.minute, times.hour, times.day_of_week) == ("5,35", "2", "*")


def test_two_equal_times_in_beats_table_are_no_error() -> None:
    """It has no constraint, so two who schedule at the same moment leave two."""
    put()
    times = CrontabSchedule.objects.get()
    times.pk = None
    times.save()
    assert put().cron == cron.HOURLY


def test_a_removed_schedule_rings_no_more() -> None:
    schedule = put()
    make_due(schedule)
    schedules.remove(vendor_type=Work.vendor_type)
    assert not PeriodicTask.objects.filter(name__startswith="schedule ").exists()
    assert not schedules.fire(schedule.pk)


def test_a_bad_cron_changes_nothing() -> None:
    put()
    with pytest.raises(errors.BadRequest):
        put("0 0 0 * *")
    assert schedules.find(vendor_type=Work.vendor_type) is not None
    assert Schedule.objects.get().cron == cron.HOURLY


def test_while_the_scheduler_is_paused_nothing_is_submitted_and_then_once() -> None:
    make_due(put(), timedelta(hours=5))
    PausedQueue.objects.create(job_type=schedules.SCHEDULER)
    assert schedules.fire_due() == 0
    PausedQueue.objects.all().delete()
    assert schedules.fire_due() == 1


@pytest.fixture
def scheduler(transactional_db: None) -> Iterator[beat.Scheduler]:
    app.finalize()
    assert tasks.fire.name == schedules.FIRE
    made = beat.Scheduler(app=app, lazy=True)
    made.setup_schedule()
    yield made
    made._finalize.cancel()


# Beat closes connections as it likes, which a test's transaction would not survive.
@pytest.mark.django_db(transaction=True)
def test_beat_rings_for_schedules_of_the_database_and_for_upkeep_from_memory(scheduler: beat.Scheduler) -> None:
    schedule = put()
    entries = scheduler.all_as_schedule()
    assert entries[f"schedule {schedule.pk}"].args == [schedule.pk]
    assert isinstance(entries["jobservice.housekeeping.fire_schedules"], ScheduleEntry)
    assert not PeriodicTask.objects.exclude(name__startswith="schedule ").exists()


@pytest.mark.django_db(transaction=True)
def test_beat_goes_on_with_upkeep_from_its_last_bell(scheduler: beat.Scheduler) -> None:
    name = "jobservice.housekeeping.fire_schedules"
    before: datetime = scheduler.schedule[name].last_run_at
    rung = scheduler.reserve(scheduler.schedule[name])
    assert scheduler.schedule[name] is rung
    assert scheduler.all_as_schedule()[name] is rung
    assert rung.last_run_at > before
    assert name not in scheduler._dirty
