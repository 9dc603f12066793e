"""The worker programs that are there, as the job service's API shows them."""

from __future__ import annotations

import os
import socket
import threading
from datetime import timedelta
from typing import Any

import structlog
from celery.signals import worker_ready, worker_shutdown
from django.db import Error, connection
from django.db.models.functions import Now

from jobservice.models import WorkerPool

log = structlog.get_logger(__name__)
HEARTBEAT = timedelta(seconds=15)
GONE_AFTER = timedelta(minutes=1)
_end = threading.Event()


def present() -> list[WorkerPool]:
    """Those whose heart beats."""
    return list(WorkerPool.objects.filter(heartbeat__gt=Now() - GONE_AFTER).order_by("pool_id"))


def forget_gone() -> None:
    """Drop the rows of those who ended without a word."""
    WorkerPool.objects.filter(heartbeat__lt=Now() - GONE_AFTER * 10).delete()


@worker_ready.connect
def begin(sender: Any, **_: Any) -> None:
    """In a worker's main process, when it is ready."""
    pool = {"host": socket.gethostname(), "pid": os.getpid(), "concurrency": sender.pool.num_processes}
    threading.Thread(target=_beat, args=[sender.hostname, pool], name="heart of the pool", daemon=True).start()


@worker_shutdown.connect
def end(sender: Any, **_: Any) -> None:
    _end.set()
    WorkerPool.objects.filter(pool_id=sender.hostname, pid=os.getpid()).delete()


def _beat(pool_id: str, pool: dict[str, Any]) -> None:
    started: dict[str, Any] = {"started": Now()}
    while not _end.is_set():
        try:
            WorkerPool.objects.update_or_create(pool_id=pool_id, defaults={**pool, **started, "heartbeat": Now()})
            started = {}
        except Error as error:
            log.warning("heartbeat_not_written", error=str(error))
        finally:
            connection.close()
        _end.wait(HEARTBEAT.total_seconds())
