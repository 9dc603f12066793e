"""Who runs a task: claiming it, holding it while it lasts, giving it back or ending it, and going on with its series.

A claim is a lease. The attempt that holds it knows itself by the task's `run_count`; one whose lease was over and
whose task was begun again by another worker finds that out at its next word.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Case, Exists, F, When
from django.db.models.functions import Now

from core import locks
from core.postgres.prepared import Columns, Statement
from jobservice import service, turns
from jobservice.models import PausedQueue, Task
from jobservice.status import Status

# Three heartbeats may get lost.
LEASE = timedelta(seconds=60)
DIED = "its worker died"
"""The message of a task that was given back in its worker's place."""
_TASK = Columns(Task, "task")
# The first of the series or nobody: the place of one whose row somebody holds is not the second's.
_TAKE_NEXT = Statement(
    "text, text, text, text, interval",
    f"""
    WITH next AS MATERIALIZED (
        SELECT id, creation_time FROM job_task
        WHERE id = (
            SELECT id FROM job_task WHERE series = $1 AND series <> '' AND status IN ('Pending', 'Running')
            ORDER BY id LIMIT 1
        )
        AND status = 'Pending' AND vendor_type = $2 AND queue = $3 AND due <= statement_timestamp()
        AND NOT EXISTS (SELECT FROM jobservice_pausedqueue WHERE job_type = $2)
        FOR UPDATE SKIP LOCKED
    )
    UPDATE job_task task
    SET status = 'Running', run_count = task.run_count + 1, worker = $4, lease = statement_timestamp() + $5,
        start_time = statement_timestamp(), update_time = statement_timestamp()
    FROM next WHERE task.id = next.id AND task.creation_time = next.creation_time
    RETURNING {_TASK.sql}
    """,  # noqa: S608 - columns of our own
)


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


def take_next(task: Task) -> Task | None:
    """The task that follows in the series of one that was ours, of the same kind and for the same workers; now ours.

    Belongs into the transaction that ends that one, and needs no lock of the series then: to all others one of it
    runs at every moment, so none of them begins another, and of its kind no more run than before. None when nobody
    follows who may begin; also when somebody is at its row just now: who holds two rows waits for nobody.
    """
    row = _TAKE_NEXT.row(task.series, task.vendor_type, task.queue, task.worker, LEASE) if task.series else None
    return _TASK.instance(row) if row else None


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
    if "state" in news:
        # What gets on is not what killed the workers before. The state that they left is no step: work that says where
        # it begins, and then kills its worker, would begin for ever.
        news["deaths"] = Case(When(state=news["state"], then=F("deaths")), default=0)
    if not held.update(lease=Now() + LEASE, update_time=Now(), **news):
        return None
    return held.values_list("is_stop_asked", flat=True).get()


def finish(task: Task, *, status: Status, message: str = "", told: dict[str, Any] | None = None, **news: Any) -> bool:
    """End the task, with last news (columns) for its row and facts for its execution; False when it is not ours.

    What earlier attempts told is still true of the execution.
    """
    with transaction.atomic(savepoint=False):
        ended = Task.objects.held(task).update(
            status=status, status_message=message, lease=None, end_time=Now(), update_time=Now(), **news
        )
        if ended:
            service.roll_up(task.execution_id, {**task.extra_attrs, **(told or {})}, message)
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
