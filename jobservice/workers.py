"""The worker programs that are there, as the job service's API shows them."""

from __future__ import annotations

import mmap
import os
import signal
import socket
import threading
from datetime import timedelta
from typing import Any

import structlog
from celery.bootsteps import RUN, Blueprint  # type: ignore[attr-defined]
from celery.signals import task_prerun, worker_ready, worker_shutdown, worker_shutting_down
from django.db import Error, close_old_connections, connection
from django.db.models.functions import Now

from jobservice.models import WorkerPool

log = structlog.get_logger(__name__)
HEARTBEAT = timedelta(seconds=15)
GONE_AFTER = timedelta(minutes=1)
# How long a worker may take to end. Who ends it on purpose waits less.
END_WITHIN = timedelta(seconds=90)
_end = threading.Event()
# A byte that a worker's main process shares with those that it forks.
_is_ending = mmap.mmap(-1, 1)


def present() -> list[WorkerPool]:
    """Those whose heart beats."""
    return list(WorkerPool.objects.filter(heartbeat__gt=Now() - GONE_AFTER).order_by("pool_id"))


def forget_gone() -> None:
    """Drop the rows of those who ended without a word."""
    WorkerPool.objects.filter(heartbeat__lt=Now() - GONE_AFTER * 10).delete()


def is_ending() -> bool:
    """Whether the worker of this process was told to end: what takes long gives its task back."""
    return _is_ending[0] != 0


@worker_shutting_down.connect
def tell_processes(**_: Any) -> None:
    """In a worker's main process, as soon as it is told to end. It waits for its processes' tasks."""
    _is_ending[0] = 1


@task_prerun.connect
def look_at_connections(**_: Any) -> None:
    """Before each bell is heard: connections are kept (settings.CELERY_DB_REUSE_MAX), but not those that broke."""
    close_old_connections()


@worker_ready.connect
def begin(sender: Any, **_: Any) -> None:
    """In a worker's main process, when it is ready."""
    pool = {"host": socket.gethostname(), "pid": os.getpid(), "concurrency": sender.pool.num_processes}
    arguments = [sender.hostname, pool, sender.controller.blueprint]
    threading.Thread(target=_beat, args=arguments, name="heart of the pool", daemon=True).start()


@worker_shutdown.connect
def end(sender: Any, **_: Any) -> None:
    _end.set()
    WorkerPool.objects.filter(pool_id=sender.hostname, pid=os.getpid()).delete()


def _beat(pool_id: str, pool: dict[str, Any], blueprint: Blueprint) -> None:
    started: dict[str, Any] = {"started": Now()}
    while not _end.is_set():
        if blueprint.state != RUN:
            _see_to_the_end()
            return
        try:
            WorkerPool.objects.update_or_create(pool_id=pool_id, defaults={**pool, **started, "heartbeat": Now()})
            started = {}
        except Error as error:
            log.warning("heartbeat_not_written", error=str(error))
        finally:
            connection.close()
        _end.wait(HEARTBEAT.total_seconds())


def _see_to_the_end() -> None:
    """Whatever made it end, it works for nobody any more, and is gone after a while so that another one is begun.

    Celery ends a worker to which Redis says an error, as it does while its disk is full, and then waits for processes
    that may wait for it: what one tells of a task that failed may be more than the pipe between them holds.
    """
    tell_processes()
    if not _end.wait(END_WITHIN.total_seconds()):
        log.error("worker_killed", seconds=END_WITHIN.total_seconds())
        os.kill(os.getpid(), signal.SIGKILL)
