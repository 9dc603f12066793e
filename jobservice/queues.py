"""Queues as Harbor shows them: one for each kind of job, with what waits in it."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Count, Min
from django.db.models.functions import Now

from core import clock
from core.events import emit
from jobservice import bell, service, turns
from jobservice.events import QueueEmptied, QueuePaused, QueueResumed
from jobservice.models import PausedQueue, Task
from jobservice.schedules import SCHEDULER

# In Harbor's order; whoever watches its job service knows these by name.
JOB_TYPES = (
    "GARBAGE_COLLECTION",
    "PURGE_AUDIT_LOG",
    "P2P_PREHEAT",
    "IMAGE_SCAN",
    "REPLICATION",
    "RETENTION",
    "SCAN_DATA_EXPORT",
    SCHEDULER,
    "SLACK",
    "SYSTEM_ARTIFACT_CLEANUP",
    "WEBHOOK",
    "EXECUTION_SWEEP",
    "AUDIT_LOGS_GDPR_COMPLIANT",
)


@dataclass(frozen=True)
class JobQueue:
    """What waits of one kind."""

    job_type: str
    count: int
    latency_seconds: int
    """How long the oldest that is due has waited."""
    is_paused: bool


def all_of_them() -> list[JobQueue]:
    """Every queue, in Harbor's order."""
    waiting = Task.objects.pending().filter(due__lte=Now()).values("vendor_type")
    found = {row["vendor_type"]: row for row in waiting.annotate(count=Count("id"), oldest=Min("due"))}
    paused = set(PausedQueue.objects.values_list("job_type", flat=True))
    now = clock.now()
    return [
        JobQueue(
            job_type,
            found[job_type]["count"] if job_type in found else 0,
            max(0, int((now - found[job_type]["oldest"]).total_seconds())) if job_type in found else 0,
            job_type in paused,
        )
        for job_type in JOB_TYPES
    ]


def pause(job_type: str, *, actor: str) -> None:
    """Let no more of its tasks begin; those that run go on."""
    with transaction.atomic():
        _, is_new = PausedQueue.objects.get_or_create(job_type=job_type)
        if is_new:
            emit(QueuePaused(actor=actor, job=job_type))


def resume(job_type: str, *, actor: str) -> None:
    """Let its tasks begin again."""
    with transaction.atomic():
        gone, _ = PausedQueue.objects.filter(job_type=job_type).delete()
        if gone:
            emit(QueueResumed(actor=actor, job=job_type))
            transaction.on_commit(functools.partial(_ring_for, job_type), robust=True)


def _ring_for(job_type: str) -> None:
    bell.ring(turns.of_type(job_type))


def empty(job_type: str, *, actor: str) -> None:
    """Stop what waits in it; what runs goes on."""
    with transaction.atomic():
        service.stop_pending(job_type)
        emit(QueueEmptied(actor=actor, job=job_type))
