"""What bells and workers lost: found in the database, and set going again."""

from __future__ import annotations

from datetime import timedelta

import structlog
from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from core import redis
from jobservice import bell, claims, retry, turns
from jobservice.models import Task
from jobservice.models.task import TaskQuerySet
from jobservice.status import Status

log = structlog.get_logger(__name__)
# How long a bell may be on its way: when nothing waits in its queue it was lost.
UNHEARD_AFTER = timedelta(minutes=1)
UNHEARD_IN_A_QUEUE_AFTER = timedelta(minutes=10)
MOST_AT_ONCE = 5000


def end_lost() -> int:
    """Tasks whose worker died are tried again, or ended; returns how many there were."""
    lost = Task.objects.running().filter(lease__lt=Now()).order_by("id")
    return sum(_end_lost(id) for id in list(lost.values_list("id", flat=True)))


def _end_lost(id: int) -> bool:
    with transaction.atomic():
        # Locked and looked at once more: a worker that was only slow may have prolonged it since. Who has it locked
        # is alive.
        lost = Task.objects.running().filter(id=id, lease__lt=Now())
        task = lost.select_for_update(skip_locked=True).first()
        if task is None:
            return False
        deaths = task.deaths + 1
        log.warning("worker_lost", task=id, vendor_type=task.vendor_type, worker=task.worker, deaths=deaths)
        if not retry.is_given_up(deaths=deaths) and claims.give_back(
            task, after=timedelta(), message=claims.DIED, deaths=deaths
        ):
            bell.ring_on_commit([task])
        elif task.is_stop_asked:
            claims.finish(task, status=Status.STOPPED, deaths=deaths)
        else:
            claims.finish(task, status=Status.ERROR, message=f"its workers died {deaths} times", deaths=deaths)
    bell.ring(turns.after(task))
    return True


def ring_again() -> int:
    """Ring for what should have been begun by now; returns for how many."""
    unheard = _unheard(_queues_with_bells())
    kinds = Task.objects.pending().order_by("vendor_type").distinct().values_list("vendor_type", flat=True)
    chosen = [turn for kind in list(kinds) for turn in turns.choose(unheard, kind, most=MOST_AT_ONCE)]
    Task.objects.pending().filter(id__in=[id for id, _ in chosen]).update(rung=Now())
    bell.ring(chosen)
    return len(chosen)


def _unheard(with_bells: list[str]) -> TaskQuerySet:
    """What was not rung for since it is due, or so long ago that the bell was lost."""
    lost = Q(rung__lt=Now() - UNHEARD_AFTER) & ~Q(queue__in=with_bells)
    return Task.objects.ready().filter(lost | Q(rung__lt=Now() - UNHEARD_IN_A_QUEUE_AFTER) | Q(due__gt=F("rung")))


def _queues_with_bells() -> list[str]:
    """Those before which workers have bells that they did not hear yet."""
    try:
        return redis.ask(lambda client: [queue for queue in bell.QUEUES if client.llen(queue)])
    except redis.Away:
        return list(bell.QUEUES)
