"""Upkeep: however many beats ring and workers listen, once an interval and one at a time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections

from core import clock, locks, redis
from core.celery import app
from jobservice import periodic, tasks
from jobservice.models import UpkeepRun

MINUTE = timedelta(minutes=1)
NAME = "tests.jobservice.test_periodic.work"


class Work:
    """An upkeep that notes its runs and does what a test wants besides."""

    def __init__(self) -> None:
        self.runs = 0
        self.began, self.may_end = threading.Event(), threading.Event()
        self.may_end.set()
        self.error: Exception | None = None
        self.in_transaction = False

    def __call__(self) -> None:
        self.runs += 1
        self.in_transaction = connection.in_atomic_block
        self.began.set()
        assert self.may_end.wait(30)
        if self.error:
            raise self.error


@pytest.fixture
def work() -> Iterator[Work]:
    made = Work()
    periodic.UPKEEP[NAME] = periodic.Upkeep(made, MINUTE)
    yield made
    del periodic.UPKEEP[NAME]


def ring() -> bool:
    """A bell, heard in a thread with a connection of its own, as in a worker."""
    heard: list[bool] = []

    def listen() -> None:
        try:
            heard.append(periodic.run(NAME))
        finally:
            connections.close_all()

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join(60)
    return heard == [True]


def an_interval_later() -> None:
    for row in UpkeepRun.objects.filter(name=NAME):
        row.began -= MINUTE
        row.save()


@pytest.mark.django_db(transaction=True)
def test_two_beats_that_ring_together_make_one_run(work: Work) -> None:
    assert [ring(), ring()] == [True, False]
    an_interval_later()
    assert [ring(), ring()] == [True, False]
    assert work.runs == 2


@pytest.mark.django_db(transaction=True)
def test_a_bell_during_a_long_run_goes_home(work: Work) -> None:
    work.may_end.clear()
    first = threading.Thread(target=ring)
    first.start()
    assert work.began.wait(30)
    assert ring() is False
    work.may_end.set()
    first.join(30)
    assert work.runs == 1


@pytest.mark.django_db(transaction=True)
def test_what_failed_is_due_at_the_next_bell(work: Work) -> None:
    work.error = redis.Away()
    assert periodic.run(NAME) is False
    work.error = ValueError("a bug")
    with pytest.raises(ValueError, match="a bug"):
        periodic.run(NAME)
    work.error = None
    assert ring() is True
    assert work.runs == 3


@pytest.mark.django_db(transaction=True)
def test_the_work_commits_when_it_wants_to(work: Work) -> None:
    """Folding pulls clears Redis when Postgres has them: an outer transaction could still take them back."""
    assert ring()
    assert work.in_transaction is False


@pytest.mark.django_db(transaction=True)
def test_a_killed_worker_leaves_no_lock_behind() -> None:
    settings = connection.settings_dict
    folder = str(settings["HOST"]).replace("/", "%2F")
    url = f"postgres://{settings['USER']}@{folder}/{settings['NAME']}"
    program = (
        "import django, time; django.setup(); from core import locks\n"
        "with locks.sole('a name') as mine: print(bool(mine), flush=True); time.sleep(60)"
    )
    environment = {**os.environ, "WHARF_DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "core.settings"}
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        with locks.sole("a name") as is_mine:
            assert not is_mine
        other.send_signal(signal.SIGKILL)
    for _ in range(600):
        with locks.sole("a name") as is_mine:
            if is_mine:
                return
    raise AssertionError("the lock of a dead process is still held")


@pytest.mark.parametrize("apart", range(0, 60, 3))
@pytest.mark.parametrize("minutes", [1, 10, 360])
def test_two_beats_in_turn_do_not_double_the_runs(minutes: int, apart: int) -> None:
    """Each rings once a minute, `apart` seconds from the other and up to five late, for fifty intervals."""
    upkeep = periodic.Upkeep(Work(), minutes * MINUTE)
    assert upkeep.bell == MINUTE
    chance, start = Random(apart), datetime(2026, 1, 1, tzinfo=UTC)
    bells = sorted(
        start + minute * MINUTE + timedelta(seconds=offset + chance.uniform(0, 5))
        for minute in range(50 * minutes)
        for offset in (0, apart)
    )
    runs: list[datetime] = []
    for bell in bells:
        if upkeep.is_due(last=runs[-1] if runs else None, now=bell):
            runs.append(bell)
    assert 45 <= len(runs) <= 52
    between = [later - earlier for earlier, later in pairwise(runs)]
    assert min(between) >= upkeep.interval - MINUTE / 4
    assert max(between) < upkeep.interval + MINUTE


def test_a_run_dated_in_the_future_does_not_stop_the_upkeep() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert periodic.Upkeep(Work(), MINUTE).is_due(last=now + timedelta(hours=1), now=now)


def test_a_clock_that_is_set_back_does_not_silence_beat(monkeypatch: pytest.MonkeyPatch) -> None:
    tasks.ring_by_the_clock(app)
    entry = app.conf.beat_schedule["projects.housekeeping.fold_pulls"]["schedule"]
    last, right = entry.now(), time.time
    monkeypatch.setattr(time, "time", lambda: right() - 600)
    assert 55 < entry.is_due(last).next <= 60
    assert entry.is_due(last - MINUTE).is_due


def test_a_silent_clock_is_noticed(db: None) -> None:
    with pytest.raises(CommandError, match="since the start"):
        call_command("check_upkeep")
    ran = UpkeepRun.objects.create(name="anything", began=clock.now())
    call_command("check_upkeep")
    ran.began -= timedelta(minutes=11)
    ran.save()
    with pytest.raises(CommandError, match="is beat there, and a worker"):
        call_command("check_upkeep")
