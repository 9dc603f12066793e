"""Telling the workers that there is something to do. A bell that nobody heard costs time, never work: `sweep`.

Bells are rung in a thread: whoever has just been promised something does not wait for a Redis that hangs.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from queue import Full, Queue

import structlog
from django.db import transaction

from core.celery import app
from jobservice import job
from jobservice.models import Task

log = structlog.get_logger(__name__)
RUN_TASK = "jobservice.tasks.run_task"
QUEUES = tuple(job.Queue)
# More than that wait only while Redis is away, and then they are rung again later.
MOST_WAITING = 10_000


@dataclass(frozen=True)
class Bell:
    """A message for Celery."""

    task: str
    arguments: tuple[int, ...]
    queue: str
    after: float = 0.0
    """To be heard so many seconds later."""


def ring_on_commit(tasks: Iterable[Task]) -> None:
    """Ring for these tasks once the transaction that made them is true."""
    chosen = [(task.id, task.queue) for task in tasks]
    # Robust: what is acknowledged by then must not be answered with an error.
    transaction.on_commit(functools.partial(ring, chosen), robust=True)


def ring(tasks: Iterable[tuple[int, str]], *, after: timedelta = timedelta()) -> None:
    """Ring for tasks, given as id and queue, soon or after a while. A Redis that is away is no error."""
    for id, queue in tasks:
        send(Bell(RUN_TASK, (id,), queue, after.total_seconds()))


def send(bell: Bell) -> None:
    """Have a bell rung by this process's thread for that."""
    global _ringer
    if _ringer is None or _ringer.process != os.getpid():
        with _starting:
            if _ringer is None or _ringer.process != os.getpid():
                _ringer = _Ringer()
                _ringer.start()
    try:
        _ringer.waiting.put_nowait(bell)
    except Full:
        log.warning("bells_wait", number=MOST_WAITING)


def send_now(bell: Bell) -> None:
    """Ring in this thread, and wait for Redis: for who has no time left."""
    try:
        app.send_task(bell.task, args=bell.arguments, queue=bell.queue, countdown=bell.after or None, retry=False)
    except Exception as error:
        # Whatever it is: a thread that ended would ring for nobody any more.
        log.warning("bell_not_heard", error=f"{type(error).__name__}: {error}")


class _Ringer(threading.Thread):
    """Threads do not survive a fork; each process has its own."""

    def __init__(self) -> None:
        super().__init__(name="bells", daemon=True)
        self.process = os.getpid()
        self.waiting: Queue[Bell] = Queue(MOST_WAITING)

    def run(self) -> None:
        while True:
            send_now(self.waiting.get())


_ringer: _Ringer | None = None
_starting = threading.Lock()
