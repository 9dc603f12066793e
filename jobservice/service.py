"""The life of an execution, for those who want work done: submit it, stop it."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models.functions import Now

from jobservice import bell, status, turns
from jobservice.job import Job, Queue
from jobservice.models import Execution, Task
from jobservice.models.task import TaskQuerySet
from jobservice.status import UNFINISHED, Status, Trigger


def submit(
    job: type[Job],
    *,
    trigger: Trigger,
    vendor_id: int = 0,
    params: dict[str, Any] | None = None,
    tasks: Sequence[dict[str, Any]] | None = None,
    series: str = "",
    extra_attrs: dict[str, Any] | None = None,
    queue: Queue | None = None,
) -> Execution:
    """Have something done: one task with `params`, or one for each of `tasks`; an execution without tasks is done.

    Belongs into the transaction that makes it necessary; workers hear of it after the commit. Tasks of one `series`,
    of whatever execution, run one at a time and in the order in which they were submitted.
    """
    wanted = [params or {}] if tasks is None else tasks
    # Without a savepoint: whoever submits much in one transaction does not want to keep a part of it.
    with transaction.atomic(savepoint=False):
        execution = Execution(
            vendor_type=job.vendor_type, vendor_id=vendor_id, trigger=trigger, extra_attrs=extra_attrs or {}
        )
        if not wanted:
            execution.status, execution.end_time = Status.SUCCESS, Now()
        execution.save(force_insert=True)
        made = Task.objects.bulk_create(
            Task(
                execution_id=execution.id,
                vendor_type=job.vendor_type,
                queue=queue or job.queue,
                series=series,
                params=each,
            )
            for each in wanted
        )
        # Of a series, and of a kind of which only some may run, the others follow by themselves.
        bell.ring_on_commit(made[:1] if series else made[: job.most_at_once])
    return execution


@dataclass(frozen=True)
class Order:
    """What `submit` is told, of an execution with one task."""

    job: type[Job]
    trigger: Trigger
    vendor_id: int
    params: dict[str, Any]
    series: str
    extra_attrs: dict[str, Any]


def submit_all(orders: Sequence[Order]) -> None:
    """Have many things done, in this order: as `submit` for each, in two statements for all."""
    with transaction.atomic(savepoint=False):
        executions = Execution.objects.bulk_create(
            Execution(
                vendor_type=order.job.vendor_type,
                vendor_id=order.vendor_id,
                trigger=order.trigger,
                extra_attrs=order.extra_attrs,
            )
            for order in orders
        )
        made = Task.objects.bulk_create(
            Task(
                execution_id=execution.id,
                vendor_type=order.job.vendor_type,
                queue=order.job.queue,
                series=order.series,
                params=order.params,
            )
            for order, execution in zip(orders, executions, strict=True)
        )
        # Of a series the others follow by themselves.
        first = {task.series or task.id: task for task in reversed(made)}
        bell.ring_on_commit(list(first.values()))


def stop(execution: Execution) -> None:
    """End it: what has not begun never will, what runs ends at its next step."""
    _stop(execution_id=execution.id)


def stop_task(task: Task) -> None:
    """The same for one task."""
    _stop(id=task.id)


def stop_pending(vendor_type: str) -> None:
    """The same for all of a kind that have not begun."""
    _stop(vendor_type=vendor_type, status=Status.PENDING)


def stop_running() -> None:
    """The same for all that run."""
    _stop(status=Status.RUNNING)


def _stop(**which: Any) -> None:
    with transaction.atomic():
        # In the order in which all who lock several tasks do.
        chosen = Task.objects.unfinished().filter(**which).order_by("id").select_for_update()
        found = list(chosen.only("id", "status", "execution_id", "series"))
        waiting = [task for task in found if task.status == Status.PENDING]
        _all(found).filter(status=Status.RUNNING).update(is_stop_asked=True)
        _all(waiting).update(status=Status.STOPPED, end_time=Now(), update_time=Now())
        for execution_id in sorted({task.execution_id for task in waiting}):
            roll_up(execution_id)
        # Who stood behind them.
        for series in {task.series for task in waiting if task.series}:
            transaction.on_commit(functools.partial(_ring_for_series, series), robust=True)


def _all(tasks: Sequence[Task]) -> TaskQuerySet:
    return Task.objects.filter(id__in=[task.id for task in tasks])


def _ring_for_series(series: str) -> None:
    bell.ring(turns.of_series(series))


def roll_up(execution_id: int, told: dict[str, Any] | None = None, message: str = "") -> None:
    """Let an execution stand as its tasks do, and know what one of them told; inside the caller's transaction."""
    execution = Execution.objects.select_for_update().filter(id=execution_id).first()
    if execution is None:
        return
    if told:
        execution.extra_attrs = {**execution.extra_attrs, **told}
    if message:
        execution.status_message = message
    # In a following statement: of two tasks that end at once, the second to come here sees both.
    theirs = Task.objects.filter(execution_id=execution_id)
    if not theirs.filter(status__in=UNFINISHED).exists():
        execution.status = status.of_execution(set(theirs.values_list("status", flat=True).distinct()))
        execution.end_time = Now()
    execution.update_time = Now()
    execution.save()
