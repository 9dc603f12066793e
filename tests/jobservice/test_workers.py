"""Real workers: what they do once, and what survives their death, a forgetful Redis, and lost connections."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.db.models.functions import Now

from core import redis
from jobservice import service, sweep, workers
from jobservice.job import Job, Queue
from jobservice.models import Execution, Task, WorkerPool
from jobservice.status import Status, Trigger
from tests.jobservice.jobs import Steps, TwoAtOnce, tasks_of

pytestmark = pytest.mark.django_db(transaction=True)
PROJECT = Path(__file__).parents[2]
FRONT, BACK = "interactive,event", "scheduled,bulk"


@pytest.fixture(autouse=True)
def clean_tables() -> Iterator[None]:
    """What Django does not manage it does not empty."""
    yield
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE job_execution, job_task, job_task_log")


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    return tmp_path / "notes"


@contextmanager
def worker(name: str, queues: str = FRONT, processes: int = 2) -> Iterator[subprocess.Popen[bytes]]:
    """A worker on the tests' own database and Redis, until the block ends."""
    settings = connection.settings_dict
    folder = str(settings["HOST"]).replace("/", "%2F")
    url = f"postgres://{settings['USER']}@{folder}/{settings['NAME']}"
    environment = {**os.environ, "WHARF_DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "core.settings"}
    command = [
        sys.executable, "-m", "celery", "-A", "core.celery", "worker", "-I", "tests.jobservice.jobs",
        "--hostname", f"{name}@test", "--queues", queues, "--concurrency", str(processes), "--loglevel", "WARNING",
    ]  # fmt: skip
    process = subprocess.Popen(command, env=environment, cwd=PROJECT, start_new_session=True)
    try:
        wait(lambda: WorkerPool.objects.filter(pool_id=f"{name}@test").exists())
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)


def wait(question: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not question():
        assert time.monotonic() < deadline, list(Task.objects.values_list("id", "status", "status_message", "worker"))
        time.sleep(0.05)


def submit(notes: Path, steps: int = 1, *, job: type[Job] = Steps, count: int = 1, **more: Any) -> Execution:
    tasks = [{"notes": str(notes), "steps": steps}] * count
    return service.submit(job, trigger=Trigger.MANUAL, tasks=tasks, **more)


def stands(execution: Execution) -> str:
    return Execution.objects.get(id=execution.id).status


def lines(notes: Path, word: str) -> list[list[str]]:
    text = notes.read_text() if notes.exists() else ""
    return [line.split() for line in text.splitlines() if line.startswith(word)]


def busy_process(notes: Path) -> int:
    """The process that has begun a task."""
    wait(lambda: lines(notes, "begin"))
    return int(lines(notes, "begin")[-1][3])


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


def test_a_killed_process_is_replaced_and_its_task_goes_on_from_its_last_step(notes: Path) -> None:
    with worker("one"):
        execution = submit(notes, 60)
        pid = busy_process(notes)
        wait(lambda: tasks_of(execution)[0].state.get("step", 0) > 5)
        os.kill(pid, signal.SIGKILL)
        let_the_lease_end()
        wait(lambda: stands(execution) == "Success")
    (task,) = tasks_of(execution)
    assert task.run_count == 2
    assert int(lines(notes, "begin")[1][2]) > 5
    assert len(lines(notes, "end")) == 1


def test_a_killed_worker_loses_nothing(notes: Path) -> None:
    with worker("one") as first:
        execution = submit(notes, 60, count=4)
        busy_process(notes)
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
        with worker("two"):
            let_the_lease_end()
            ring_again()
            wait(lambda: stands(execution) == "Success")
    assert len(lines(notes, "end")) == 4


def test_a_redis_that_forgets_everything_loses_nothing(notes: Path) -> None:
    with worker("one", processes=1):
        execution = submit(notes, 30, count=5)
        busy_process(notes)
        redis.connection().flushall()
        Task.objects.filter(status=Status.PENDING).update(
            rung=Now() - timedelta(hours=1), due=Now() - timedelta(hours=1)
        )
        sweep.ring_again()
        wait(lambda: stands(execution) == "Success")
    assert len(lines(notes, "end")) == 5


def test_a_database_that_drops_its_connections_loses_nothing(notes: Path) -> None:
    with worker("one"):
        execution = submit(notes, 100)
        busy_process(notes)
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
                "AND pid <> pg_backend_pid()"
            )

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


def test_a_worker_that_ends_is_no_longer_listed(notes: Path) -> None:
    with worker("one") as process:
        assert [pool.pool_id for pool in workers.present()] == ["one@test"]
        assert workers.present()[0].concurrency == 2
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        assert workers.present() == []
