"""Real workers and clocks on the tests' own database, and what their tasks noted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from django.db import connection

from jobservice import service
from jobservice.job import Job
from jobservice.models import Execution, Task, WorkerPool
from jobservice.status import Trigger
from tests.jobservice.jobs import Steps

PROJECT = Path(__file__).parents[2]
FRONT, BACK = "interactive,event", "scheduled,bulk"
Process = subprocess.Popen[bytes]


@contextmanager
def worker(name: str, queues: str = FRONT, processes: int = 2) -> Iterator[Process]:
    """A worker, from the moment that it is ready until the block ends."""
    with celery("core.celery", *as_worker(name, queues, processes), "-I", "tests.jobservice.jobs") as process:
        wait(lambda: WorkerPool.objects.filter(pool_id=f"{name}@test").exists())
        yield process


@contextmanager
def celery(app: str, *words: str, **settings: str) -> Iterator[Process]:
    """One of Celery's programs, until the block ends; what it started as well."""
    environment = {
        **os.environ, "WHARF_DATABASE_URL": database_url(), "DJANGO_SETTINGS_MODULE": "core.settings", **settings
    }  # fmt: skip
    command = [sys.executable, "-m", "celery", "-A", app, *words, "--loglevel", "WARNING"]
    process = subprocess.Popen(command, env=environment, cwd=PROJECT, start_new_session=True)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)


def as_worker(name: str, queues: str = FRONT, processes: int = 2) -> list[str]:
    return ["worker", "--hostname", f"{name}@test", "--queues", queues, "--concurrency", str(processes)]


def database_url(folder: Path | None = None) -> str:
    """The tests' database, through the socket in that folder."""
    settings = connection.settings_dict
    host = str(folder or settings["HOST"]).replace("/", "%2F")
    return f"postgres://{settings['USER']}@{host}/{settings['NAME']}"


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
