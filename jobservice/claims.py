"""Who runs a task: claiming it, holding it while it lasts, and giving it back or ending it.

A claim is a lease. The attempt that holds it knows itself by the task's `run_count`; one whose lease was over and
whose task was begun again by another worker finds that out at its next word.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Exists
from django.db.models.functions import Now

from core import locks
from jobservice import service, turns
from jobservice.models import PausedQueue, Task
from jobservice.status import Status

# Three heartbeats may get lost.
LEASE = timedelta(seconds=60)
DIED = "its worker died"
"""The message of a task that was given back in its worker's place."""


def claim(id: int, *, worker: str) -> Task | None:
    """Take a pending task that is due. Of any number of workers one gets it, the others None.

    None as well while its queue is paused, while an earlier one of its series is unfinished, and while as many of its
    type run as may; then somebody rings for it later.
    """
    task = Task.objects.pending().filter(id=id).first()
    if task is None:
        return None
    most = turns.most_of(task.vendor_type)
    if not task.series and most is None:
        return _taken(task, worker)
    with transaction.atomic():
        # What is counted below must not change before our commit.
        if task.series:
            locks.wait_in_transaction(f"series:{task.series}")
            if _is_somebodys_turn(task):
                return None
        if most is not None:
            locks.wait_in_transaction(f"job:{task.vendor_type}")
            if Task.objects.running().filter(vendor_type=task.vendor_type).count() >= most:
                return None
        return _taken(task, worker)


def _taken(task: Task, worker: str) -> Task | None:
    """The task as it was read, but ours; None when it is another's, was another's meanwhile, or may not begin."""
    paused = PausedQueue.objects.filter(job_type=task.vendor_type)
    mine = {"status": Status.RUNNING, "run_count": task.run_count + 1, "worker": worker}
    free = Task.objects.pending().filter(~Exists(paused), pk=task.pk, run_count=task.run_count, due__lte=Now())
    if not free.update(**mine, lease=Now() + LEASE, start_time=Now(), update_time=Now()):
        return None
    for column, value in mine.items():
        setattr(task, column, value)
    return task


def _is_somebodys_turn(task: Task) -> bool:
    """Whether another one of its series should run first, or runs: one whose commit came before ours."""
    first = Task.objects.first_of(task.series).values_list("id", flat=True)
    return list(first) != [task.id] or Task.objects.running().filter(series=task.series).exists()


def hold(task: Task, **news: Any) -> bool | None:
    """Prolong the lease and write news (columns) into the row; inside the caller's transaction.

    Whether somebody asked the task to stop; None when it is not ours any more.
    """
    held = Task.objects.held(task)
    if not held.update(lease=Now() + LEASE, update_time=Now(), **news):
        return None
    return held.values_list("is_stop_asked", flat=True).get()


def finish(task: Task, *, status: Status, message: str = "", told: dict[str, Any] | None = None, **news: Any) -> bool:
    """End the task, with last news (columns) for its row and facts for its execution; False when it is not ours."""
    with transaction.atomic():
        ended = Task.objects.held(task).update(
            status=status, status_message=message, lease=None, end_time=Now(), update_time=Now(), **news
        )
        if ended:
            service.roll_up(task.execution_id, told, message)
    return bool(ended)


def give_back(task: Task, *, after: timedelta, message: str, **news: Any) -> bool:
    """Let it be tried again after a while; False when it is not ours any more, or somebody asked it to stop."""
    return bool(
        Task.objects.held(task)
        .filter(is_stop_asked=False)
        .update(
            status=Status.PENDING,
            status_message=message,
            lease=None,
            due=Now() + after,
            rung=Now(),
            update_time=Now(),
            **news,
        )
    )
