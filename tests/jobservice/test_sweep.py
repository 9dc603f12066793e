"""Tasks whose worker died, and tasks of which no worker ever heard."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models.functions import Now

from core import locks
from jobservice import claims, service, sweep
from jobservice.context import Context
from jobservice.models import Task
from jobservice.status import Status
from tests.jobservice.jobs import Capped, Work, log_of, lose, make_due, now, run, submit, tasks_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("idle")]


def test_what_lost_its_worker_is_begun_again_from_its_last_step() -> None:
    states: list[Any] = []

    def work(ctx: Context, params: dict[str, Any]) -> None:
        states.append(ctx.state)

    Work.deed = staticmethod(work)
    execution = submit()
    held = lose(*tasks_of(execution))
    assert claims.hold(held, state={"at": 5}) is False
    Task.objects.update(lease=Now() - timedelta(seconds=1))
    assert sweep.end_lost() == 1
    run(*tasks_of(execution))
    assert states == [{"at": 5}]
    assert now(execution).status == "Success"


def test_who_lost_his_lease_can_say_nothing_more_about_the_task() -> None:
    execution = submit()
    dead = lose(*tasks_of(execution))
    sweep.end_lost()
    again = claims.claim(dead.id, worker="test/2")
    assert again is not None
    assert claims.hold(dead) is None
    assert not claims.finish(dead, status=Status.ERROR, message="too late")
    assert not claims.give_back(dead, after=timedelta(), message="too late")
    assert claims.finish(again, status=Status.SUCCESS)
    assert (now(execution).status, now(execution).status_message) == ("Success", "")


def test_who_read_a_task_before_another_attempt_does_not_begin_it_with_what_he_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (task,) = tasks_of(submit(series="one"))

    def another_attempt(name: str) -> None:
        monkeypatch.undo()
        other = claims.claim(task.id, worker="quick/1")
        assert other is not None
        assert claims.give_back(other, after=timedelta(), message="its worker ends", state={"at": 5})

    monkeypatch.setattr(locks, "wait_in_transaction", another_attempt)
    assert claims.claim(task.id, worker="slow/1") is None
    again = claims.claim(task.id, worker="next/1")
    assert again is not None
    assert (again.state, again.run_count) == ({"at": 5}, 2)


def test_what_kills_its_workers_ends() -> None:
    execution = submit()
    for _ in range(10):
        lose(*tasks_of(execution))
        sweep.end_lost()
    assert (now(execution).status, now(execution).status_message) == ("Error", "its workers died 10 times")


def test_workers_that_die_of_other_things_do_not_end_what_gets_on() -> None:
    """Of a collection of two days on a machine with too little memory, for example."""
    execution = submit()
    for step in range(15):
        held = lose(*tasks_of(execution))
        claims.hold(held, state={"step": step})
        Task.objects.update(lease=Now() - timedelta(seconds=1))
        sweep.end_lost()
    (task,) = tasks_of(execution)
    assert (task.status, task.deaths, task.state) == ("Pending", 1, {"step": 14})


def test_what_says_where_it_begins_and_kills_its_worker_then_gets_nowhere() -> None:
    execution = submit()
    for _ in range(10):
        held = lose(*tasks_of(execution))
        claims.hold(held, state={"step": 7})
        claims.hold(held, done=1)
        Task.objects.update(lease=Now() - timedelta(seconds=1))
        sweep.end_lost()
    assert now(execution).status == "Error"


def test_what_was_to_stop_and_lost_its_worker_is_stopped() -> None:
    execution = submit()
    lose(*tasks_of(execution))
    service.stop(execution)
    sweep.end_lost()
    assert now(execution).status == "Stopped"


def test_workers_that_died_are_no_failures() -> None:
    execution = submit()
    for _ in range(2):
        lose(*tasks_of(execution))
        sweep.end_lost()

    def fail(ctx: Context, params: dict[str, Any]) -> None:
        raise OSError("away")

    Work.deed = staticmethod(fail)
    run(*tasks_of(execution))
    (task,) = tasks_of(execution)
    assert (task.status, task.run_count, task.failures, task.deaths) == ("Pending", 3, 1, 2)
    make_due()
    run(task)
    # Who died could not say so in the log, and the one that failed has.
    assert [line.split("] ")[1] for line in log_of(task).splitlines()] == [
        "Attempt 3 goes on: of the one before, its worker died",
        "Attempt 3 failed, the next one is in 5 s: OSError: away",
        "Attempt 4 failed, the next one is in 10 s: OSError: away",
    ]


def test_a_worker_that_was_only_slow_keeps_its_task() -> None:
    """Between the look and the verdict its lease was prolonged."""
    held = lose(*tasks_of(submit()))
    claims.hold(held)
    assert not sweep._end_lost(held.id)
    assert claims.hold(held) is False


@pytest.mark.django_db(transaction=True)
def test_the_sweep_waits_for_nobody_who_holds_a_task() -> None:
    held = lose(*tasks_of(submit()))
    other = connection.copy()
    try:
        other.set_autocommit(False)
        other.cursor().execute("SELECT 1 FROM job_task WHERE id = %s FOR UPDATE", [held.id])
        assert sweep.end_lost() == 0
        # PostgreSQL notices a connection that is closed later than we do.
        other.rollback()
    finally:
        other.close()
    assert sweep.end_lost() == 1


@pytest.mark.parametrize(("age", "expected"), [(50, []), (70, [0])])
def test_bells_that_nobody_heard_are_rung_again(age: int, expected: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    rung: list[int] = []
    task, later = tasks_of(submit(tasks=[{}, {}], series="one"))
    monkeypatch.setattr("jobservice.bell.ring", lambda tasks: rung.extend(id for id, _ in tasks))
    monkeypatch.setattr(sweep, "_queues_with_bells", lambda: ["bulk"])
    Task.objects.update(due=Now() - timedelta(hours=1), rung=Now() - timedelta(seconds=age))
    sweep.ring_again()
    assert rung == [[task, later][place].id for place in expected]
    sweep.ring_again()
    assert len(rung) == len(expected)


def test_bells_that_wait_in_a_queue_are_not_rung_again_for_ten_minutes(
    bells: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    (task,) = tasks_of(submit())
    monkeypatch.setattr(sweep, "_queues_with_bells", lambda: ["interactive"])
    for minutes, expected in ((9, []), (11, [task.id])):
        Task.objects.update(due=Now() - timedelta(hours=1), rung=Now() - timedelta(minutes=minutes))
        sweep.ring_again()
        assert bells == expected


def test_what_is_tried_again_is_rung_for_when_it_is_due(bells: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(ctx: Context, params: dict[str, Any]) -> None:
        raise OSError("away")

    Work.deed = staticmethod(fail)
    (task,) = tasks_of(submit())
    run(task)
    assert bells == [task.id]  # In five seconds.
    sweep.ring_again()
    assert bells == [task.id]
    Task.objects.update(rung=Now() - timedelta(seconds=2), due=Now() - timedelta(seconds=1))
    sweep.ring_again()
    assert bells == [task.id, task.id]


def test_those_that_may_not_begin_hide_nobody_from_the_sweep(bells: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "MOST_AT_ONCE", 5)
    monkeypatch.setattr(sweep, "_queues_with_bells", lambda: [])
    crowd, (lone,) = tasks_of(submit(Capped, tasks=[{}] * 10)), tasks_of(submit())
    assert claims.claim(crowd[0].id, worker="test/1")
    Task.objects.update(due=Now() - timedelta(hours=1), rung=Now() - timedelta(hours=1))
    sweep.ring_again()
    assert sorted(bells) == [crowd[1].id, lone.id]
