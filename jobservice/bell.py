"""Telling the workers that there is something to do. A bell that nobody heard costs time, never work: `sweep`."""

from __future__ import annotations

import functools
from collections.abc import Iterable

import structlog
from django.db import transaction
from kombu.exceptions import OperationalError

from core.celery import app
from jobservice.job import Queue
from jobservice.models import Task

log = structlog.get_logger(__name__)
RUN_TASK = "jobservice.tasks.run_task"
QUEUES = tuple(Queue)


def ring_on_commit(tasks: Iterable[Task]) -> None:
    """Ring for these tasks once the transaction that made them is true."""
    chosen = [(task.id, task.queue) for task in tasks]
    # Robust: what is acknowledged by then must not be answered with an error.
    transaction.on_commit(functools.partial(ring, chosen), robust=True)


def ring(tasks: Iterable[tuple[int, str]]) -> None:
    """Ring for tasks, given as id and queue. A Redis that is away is no error."""
    try:
        with app.producer_or_acquire() as producer:
            for id, queue in tasks:
                app.send_task(RUN_TASK, args=[id], queue=queue, producer=producer, retry=False)
    except (OperationalError, OSError) as error:
        log.warning("bell_not_heard", error=str(error))
