"""What bells and workers lost: found in the database, and set going again."""

from __future__ import annotations

from datetime import timedelta

import structlog
from django.db import connection
from django.db.models.functions import Now

from core import redis
from jobservice import bell, claims, retry
from jobservice.job import JOBS
from jobservice.models import Task
from jobservice.status import Status

log = structlog.get_logger(__name__)
# How long a bell may be on its way: when nothing waits in Redis it was lost.
UNHEARD_AFTER = timedelta(minutes=1)
UNHEARD_IN_A_QUEUE_AFTER = timedelta(minutes=10)
MOST_AT_ONCE = 5000

_UNHEARD = """
SELECT id, queue, vendor_type FROM job_task task
WHERE status = 'Pending' AND due <= now() AND greatest(rung, due) < now() - %s * interval '1 second'
AND NOT EXISTS (SELECT FROM jobservice_pausedqueue paused WHERE paused.job_type = task.vendor_type)
AND (series = '' OR NOT EXISTS (
    SELECT FROM job_task earlier
    WHERE earlier.series = task.series AND earlier.id < task.id AND earlier.status IN ('Pending', 'Running')
))
ORDER BY id LIMIT %s
"""


def end_lost() -> int:
    """Tasks whose worker died are tried again, or ended; returns how many there were."""
    lost = list(Task.objects.running().filter(lease__lt=Now()).order_by("id"))
    for task in lost:
        wait = retry.after_lost_worker(attempt=task.run_count)
        log.warning(
            "worker_lost", task=task.id, vendor_type=task.vendor_type, worker=task.worker, attempt=task.run_count
        )
        if task.is_stop_asked:
            claims.finish(task, status=Status.STOPPED)
        elif wait is None:
            claims.finish(task, status=Status.ERROR, message=f"its workers died {task.run_count} times")
        elif claims.give_back(task, after=wait, message="its worker died"):
            bell.ring([(task.id, task.queue)])
    return len(lost)


def ring_again() -> int:
    """Ring for what should have been begun by now; returns for how many."""
    after = UNHEARD_IN_A_QUEUE_AFTER if _bells_wait() else UNHEARD_AFTER
    with connection.cursor() as cursor:
        cursor.execute(_UNHEARD, [after.total_seconds(), MOST_AT_ONCE])
        found = cursor.fetchall()
    chosen = [(id, queue) for id, queue, _ in _within_their_caps(found)]
    Task.objects.pending().filter(id__in=[id for id, _ in chosen]).update(rung=Now())
    bell.ring(chosen)
    return len(chosen)


def _within_their_caps(found: list[tuple[int, str, str]]) -> list[tuple[int, str, str]]:
    """No more of a type than may run at once: the others follow."""
    chosen, counts = [], dict.fromkeys((vendor_type for _, _, vendor_type in found), 0)
    for row in found:
        job = JOBS.get(row[2])
        counts[row[2]] += 1
        if job is None or job.most_at_once is None or counts[row[2]] <= job.most_at_once:
            chosen.append(row)
    return chosen


def _bells_wait() -> bool:
    """Whether workers have bells before them that they did not hear yet."""
    try:
        return redis.ask(lambda client: any(client.llen(queue) for queue in bell.QUEUES))
    except redis.Away:
        return True
