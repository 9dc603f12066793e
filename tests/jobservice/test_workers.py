"""Real workers: what they do once, in turns, and for whom; and what survives lost connections."""

from __future__ import annotations

import signal
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.db.models.functions import Now

from jobservice import service, sweep, workers
from jobservice.job import Queue
from jobservice.models import Task
from jobservice.status import Status
from tests.jobservice.jobs import TwoAtOnce, tasks_of
from tests.jobservice.real_workers import BACK, FRONT, busy_process, lines, stands, submit, wait, worker

pytestmark = pytest.mark.django_db(transaction=True)


def let_the_lease_end() -> None:
    Task.objects.filter(status=Status.RUNNING).update(lease=Now() - timedelta(seconds=1))
    sweep.end_lost()


def ring_again() -> None:
    """What the sweep does when bells were lost for more than a minute."""
    long_ago = Now() - timedelta(hours=1)
    Task.objects.filter(status=Status.PENDING).update(rung=long_ago, due=long_ago)
    sweep.ring_again()


def test_of_two_workers_each_task_is_done_by_one(notes: Path) -> None:
    with worker("one"), worker("two"):
        execution = submit(notes, count=40)
        wait(lambda: stands(execution) == "Success")
    begun = [number for _, number, *_ in lines(notes, "begin")]
    assert sorted(begun) == sorted(str(task.id) for task in tasks_of(execution))
    assert len(set(begun)) == 40


def others_connections() -> set[int]:
    """The server's processes behind other programs' connections to this database."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
            "AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        return {pid for (pid,) in cursor.fetchall()}


def drop_others_connections() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s) AS pid", [list(others_connections())])


def test_a_worker_keeps_its_connection_from_task_to_task(notes: Path) -> None:
    with worker("one", processes=1):
        first = submit(notes, count=3)
        wait(lambda: stands(first) == "Success")
        connected = others_connections()
        second = submit(notes, count=20)
        wait(lambda: stands(second) == "Success")
        assert others_connections() == connected != set()


def test_a_worker_whose_connection_was_dropped_between_two_tasks_does_not_notice(notes: Path) -> None:
    with worker("one"):
        first = submit(notes, count=10)
        wait(lambda: stands(first) == "Success")
        drop_others_connections()
        second = submit(notes, count=10)
        wait(lambda: stands(second) == "Success", seconds=10)


def test_a_database_that_drops_its_connections_loses_nothing(notes: Path) -> None:
    with worker("one"):
        execution = submit(notes, 100)
        busy_process(notes)
        drop_others_connections()
        # It notices, and wants to be tried again after a while; or its worker could not even write that down.
        with suppress(AssertionError):
            wait(lambda: tasks_of(execution)[0].status == "Pending", seconds=10)
        let_the_lease_end()
        ring_again()
        wait(lambda: stands(execution) == "Success")
    assert len(lines(notes, "end")) >= 1


def test_what_runs_elsewhere_is_stopped_from_here(notes: Path) -> None:
    with worker("one"):
        execution = submit(notes, 100_000)
        busy_process(notes)
        service.stop(execution)
        wait(lambda: stands(execution) == "Stopped")
    assert lines(notes, "end") == []


def test_what_takes_long_makes_nobody_wait_who_looks_at_a_screen(notes: Path, tmp_path: Path) -> None:
    with worker("one", FRONT, 1), worker("two", BACK, 1):
        long = [submit(tmp_path / "long", 100_000, queue=Queue.BULK) for _ in range(3)]
        busy_process(tmp_path / "long")
        short = submit(notes)
        wait(lambda: stands(short) == "Success")
        assert [stands(each) for each in long] == ["Running"] * 3
        for each in long:
            service.stop(each)


def test_no_more_of_a_kind_run_than_may_by_all_workers_together(notes: Path) -> None:
    with worker("one"), worker("two"):
        execution = submit(notes, 5, job=TwoAtOnce, count=10)
        wait(lambda: stands(execution) == "Success")
    at_once = most = 0
    for line in notes.read_text().splitlines():
        at_once += 1 if line.startswith("begin") else -1
        most = max(most, at_once)
    assert most == 2


def test_a_series_runs_in_order_and_one_at_a_time_whoever_works(notes: Path) -> None:
    with worker("one"), worker("two"):
        made = [submit(notes, 3, series="one") for _ in range(40)]
        wait(lambda: stands(made[-1]) == "Success")
    expected = [f"{word} {task.id}" for execution in made for task in tasks_of(execution) for word in ("begin", "end")]
    assert [line.rsplit(" ", 2)[0] for line in notes.read_text().splitlines()] == expected


def test_a_series_without_an_end_makes_nobody_wait_for_it(notes: Path, tmp_path: Path) -> None:
    with worker("one", FRONT, 1):
        endless = submit(tmp_path / "endless", 20, series="endless", count=200)
        busy_process(tmp_path / "endless")
        others = [submit(notes, series="other"), submit(notes, queue=Queue.EVENT)]
        wait(lambda: [stands(each) for each in others] == ["Success"] * 2)
        assert Task.objects.pending().filter(execution_id=endless.id).count() > 1
        service.stop(endless)


def test_a_worker_that_ends_is_no_longer_listed(notes: Path) -> None:
    with worker("one") as process:
        assert [pool.pool_id for pool in workers.present()] == ["one@test"]
        assert workers.present()[0].concurrency == 2
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        assert workers.present() == []
