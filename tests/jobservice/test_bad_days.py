"""What becomes of jobs when Redis hangs or forgets, workers die or are told to go, and the database is away.

With workers and clocks as in production, but in a hurry (hasty.py); nothing is helped along by hand.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import redis
from celery import Celery
from django.conf import settings
from django.db import connection
from django.db.models import F
from django.db.models.functions import Now

from jobservice import bell, cron, schedules
from jobservice.job import Queue
from jobservice.models import Execution, Schedule, Task, UpkeepRun, WorkerPool
from tests.jobservice.jobs import Steps, log_of, tasks_of
from tests.jobservice.real_workers import (
    FRONT,
    Process,
    as_worker,
    busy_process,
    celery,
    database_url,
    lines,
    stands,
    submit,
    wait,
)

pytestmark = pytest.mark.django_db(transaction=True)
QUEUES = f"{FRONT},upkeep"
HASTY = "tests.jobservice.hasty"


class Redis:
    """One of the test's own, which remembers nothing when it starts."""

    def __init__(self, folder: Path) -> None:
        self._socket = folder / "redis.sock"
        self._begin()

    @property
    def url(self) -> str:
        return f"unix://{self._socket}?db=0"

    def _begin(self) -> None:
        command = ["redis-server", "--port", "0", "--unixsocket", str(self._socket), "--save", ""]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=self._socket.parent)
        self.client = redis.Redis(unix_socket_path=str(self._socket))
        wait(self._answers)

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.RedisError:
            return False

    def end(self) -> None:
        self.process.kill()
        self.process.wait(30)

    def restart(self) -> None:
        self.end()
        self._begin()


@pytest.fixture
def own_redis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Redis]:
    """The bells of this process go there as well."""
    made = Redis(tmp_path)
    app = Celery("of the test")
    app.config_from_object("django.conf:settings", namespace="CELERY")
    app.conf.update(broker_url=made.url.replace("unix://", "redis+socket://").replace("?db=", "?virtual_host="))
    monkeypatch.setattr(bell, "app", app)
    yield made
    made.end()


@contextmanager
def crew(own: Redis, *names: str, beats: int = 1) -> Iterator[list[Process]]:
    """Workers of two processes, and clocks; their processes in this order."""
    with ExitStack() as started:
        programs = [as_worker(name, QUEUES) for name in names] + [["beat", "--pidfile", ""]] * beats
        running = [started.enter_context(celery(HASTY, *words, WHARF_REDIS_URL=own.url)) for words in programs]
        wait(lambda: are_ready(*names))
        yield running


def are_ready(*names: str) -> bool:
    return WorkerPool.objects.filter(pool_id__in=[f"{name}@test" for name in names]).count() == len(names)


def each_ran_once(execution: Execution, notes: Path) -> bool:
    """Begun and ended once each: so never twice at a time."""
    once = Counter({str(task.id): 1 for task in tasks_of(execution)})
    return all(Counter(number for _, number, *_ in lines(notes, word)) == once for word in ("begin", "end"))


def test_a_redis_that_hangs_costs_time_and_no_job(own_redis: Redis, notes: Path) -> None:
    with crew(own_redis, "one", "two"):
        execution = submit(notes, 10, count=50)
        wait(lambda: len(lines(notes, "begin")) > 4)
        own_redis.process.send_signal(signal.SIGSTOP)
        try:
            wait(lambda: not Task.objects.running().exists())
            # Longer than the programs wait for an answer.
            time.sleep(settings.CELERY_BROKER_TRANSPORT_OPTIONS["socket_timeout"] + 1)
            assert Task.objects.pending().count() > 10
        finally:
            own_redis.process.send_signal(signal.SIGCONT)
        wait(lambda: stands(execution) == "Success")
    assert each_ran_once(execution, notes)


def test_a_redis_that_forgets_everything_loses_no_job(own_redis: Redis, notes: Path) -> None:
    with crew(own_redis, "one", "two"):
        execution = submit(notes, 10, count=50)
        wait(lambda: len(lines(notes, "begin")) > 4)
        own_redis.client.flushall()
        own_redis.restart()
        assert Task.objects.pending().count() > 10
        wait(lambda: stands(execution) == "Success")
    assert each_ran_once(execution, notes)


def test_who_is_told_to_go_gives_back_and_another_goes_on(own_redis: Redis, notes: Path) -> None:
    with crew(own_redis, "one", "two", beats=0) as programs:
        execution = submit(notes, 200)
        wait(lambda: tasks_of(execution)[0].state.get("step", 0) > 5)
        busy = whose(busy_process(notes), programs)
        busy.send_signal(signal.SIGTERM)
        busy.wait(30)
        wait(lambda: stands(execution) == "Success")
    (task,) = tasks_of(execution)
    assert (task.run_count, task.failures, task.deaths) == (2, 0, 0)
    goes_on(notes)


def test_a_worker_that_redis_refuses_ends_though_its_processes_do_not(own_redis: Redis, notes: Path) -> None:
    """Redis refuses to write while its disk is full. Celery then ends the worker, and waits for its processes."""
    with crew(own_redis, "one") as (one, _):
        execution = submit(notes, 200)
        os.kill(busy_process(notes), signal.SIGSTOP)
        own_redis.client.config_set("min-replicas-to-write", 1)
        assert one.wait(60) == -signal.SIGKILL
        own_redis.client.config_set("min-replicas-to-write", 0)
        with celery(HASTY, *as_worker("next", QUEUES), WHARF_REDIS_URL=own_redis.url):
            wait(lambda: stands(execution) == "Success")


@pytest.mark.parametrize("whole", [False, True], ids=["a process", "the whole worker"])
def test_what_a_killed_one_did_is_begun_again_and_ends(own_redis: Redis, notes: Path, whole: bool) -> None:
    with crew(own_redis, "one", "two") as programs:
        execution = submit(notes, 100)
        process = busy_process(notes)
        wait(lambda: tasks_of(execution)[0].state.get("step", 0) > 5)
        if whole:
            os.killpg(whose(process, programs).pid, signal.SIGKILL)
        else:
            os.kill(process, signal.SIGKILL)
        wait(lambda: stands(execution) == "Success")
    (task,) = tasks_of(execution)
    # What died is forgotten: it got on since.
    assert (task.run_count, task.failures, task.deaths) == (2, 0, 0)
    assert "Attempt 2 goes on: of the one before, its worker died" in log_of(task)
    goes_on(notes)


@pytest.mark.parametrize("whole", [False, True], ids=["a process", "the whole worker"])
def test_a_series_whose_worker_is_killed_goes_on_where_it_was_and_in_order(
    own_redis: Redis, notes: Path, whole: bool
) -> None:
    with crew(own_redis, "one", "two") as programs:
        made = [submit(notes, 50, series="one") for _ in range(5)]
        wait(lambda: tasks_of(made[2])[0].state.get("step", 0) > 5)
        process = busy_process(notes)
        if whole:
            os.killpg(whose(process, programs).pid, signal.SIGKILL)
        else:
            os.kill(process, signal.SIGKILL)
        wait(lambda: [stands(execution) for execution in made] == ["Success"] * 5)
    tasks = [task for execution in made for task in tasks_of(execution)]
    assert [task.run_count for task in tasks] == [1, 1, 2, 1, 1]
    # Nobody was left out or overtaken, and only what had not ended was begun once more.
    expected = [task.id for task in tasks for _ in range(task.run_count)]
    assert [int(number) for _, number, *_ in lines(notes, "begin")] == expected


def whose(process: int, programs: list[Process]) -> Process:
    """The worker whose process this is."""
    return next(program for program in programs if program.pid == os.getpgid(process))


def goes_on(notes: Path) -> None:
    """Begun twice, the second time from where the first had come, by another process; ended once."""
    (_, _, _, first), (_, _, step, second) = lines(notes, "begin")
    assert int(step) > 5
    assert first != second
    assert len(lines(notes, "end")) == 1


def test_two_clocks_fire_a_schedule_once(own_redis: Redis, notes: Path) -> None:
    schedule = schedules.put(
        vendor_type=Steps.vendor_type,
        kind=Schedule.Kind.HOURLY,
        at=cron.HOURLY,
        params={"notes": str(notes), "steps": 1},
    )
    with crew(own_redis, "one", beats=2) as programs:
        for times in (1, 2, 3):
            Schedule.objects.filter(pk=schedule.pk).update(fired=Now() - timedelta(hours=1))
            wait(lambda times=times: Execution.objects.filter(status="Success").count() >= times)  # type: ignore[misc]
            heard = fire_schedules_began()
            # Both clocks ring each second: twice more is after both rang for this time.
            for _ in range(2):
                wait(lambda heard=heard: fire_schedules_began() != heard)  # type: ignore[misc]
                heard = fire_schedules_began()
            assert Execution.objects.count() == times
        assert [program.poll() for program in programs] == [None] * 3
    assert len(lines(notes, "begin")) == 3


def fire_schedules_began() -> object:
    return UpkeepRun.objects.filter(name="jobservice.housekeeping.fire_schedules").values_list("began").first()


def test_a_worker_that_starts_without_a_database_works_when_it_is_back(
    own_redis: Redis, notes: Path, tmp_path: Path
) -> None:
    """It sees no socket there, as while PostgreSQL is restarted, and hears a bell in vain."""
    folder = tmp_path / "postgres"
    folder.mkdir()
    without = {"WHARF_REDIS_URL": own_redis.url, "WHARF_DATABASE_URL": database_url(folder)}
    with celery(HASTY, *as_worker("late", "bulk"), **without) as late, crew(own_redis, "one"):
        execution = submit(notes, queue=Queue.BULK)
        wait(lambda: Task.objects.filter(rung__gt=F("creation_time")).exists())
        wait(lambda: own_redis.client.llen("bulk") == 0)
        assert stands(execution) == "Running"
        name = f".s.PGSQL.{connection.settings_dict['PORT'] or 5432}"
        (folder / name).symlink_to(Path(connection.settings_dict["HOST"]) / name)
        wait(lambda: stands(execution) == "Success")
        wait(lambda: are_ready("late"))
        assert late.poll() is None
