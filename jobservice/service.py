"""The life of an execution, for those who want work done: submit it, stop it."""

from __future__ import annotations

import functools
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.db.models.functions import Now

from core.postgres.prepared import Statement
from jobservice import bell, status, turns
from jobservice.job import Job, Queue
from jobservice.models import Execution, Task
from jobservice.models.task import TaskQuerySet
from jobservice.status import Status, Trigger

# What every task asks at its end.
_HOLD = Statement("bigint", "SELECT true FROM job_execution WHERE id = $1 FOR UPDATE")
# Of many tasks none is looked at but the first that is unfinished.
_STATUSES = Statement(
    "bigint",
    """
    SELECT CASE
    WHEN EXISTS (SELECT FROM job_task WHERE execution_id = $1 AND status IN ('Pending', 'Running'))
    THEN ARRAY['Running'] ELSE ARRAY(SELECT DISTINCT status::text FROM job_task WHERE execution_id = $1) END
    """,
)
_STAND = Statement(
    "bigint, text, jsonb, text",
    """
    UPDATE job_execution SET
        status = $2, end_time = CASE WHEN $2 = 'Running' THEN end_time ELSE statement_timestamp() END,
        extra_attrs = extra_attrs || $3, status_message = coalesce(nullif($4, ''), status_message),
        update_time = statement_timestamp()
    WHERE id = $1
    """,
)


@dataclass(frozen=True, kw_only=True)
class Order:
    """Something that is to be done: an execution."""

    job: type[Job]
    trigger: Trigger
    vendor_id: int = 0
    tasks: Sequence[dict[str, Any]]
    """The parameters of each; an execution without tasks is done."""
    series: str = ""
    """Its tasks, and those of whatever other execution of this series, run one at a time and in the order in which
    they were submitted."""
    extra_attrs: dict[str, Any] = field(default_factory=dict)
    queue: Queue | None = None
    """None: the one of its kind."""


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
    """Have something done, as an Order says it: one task with `params`, or one for each of `tasks`.

    Belongs into the transaction that makes it necessary; workers hear of it after the commit.
    """
    order = Order(
        job=job,
        trigger=trigger,
        vendor_id=vendor_id,
        tasks=[params or {}] if tasks is None else tasks,
        series=series,
        extra_attrs=extra_attrs or {},
        queue=queue,
    )
    (execution,) = submit_all([order])
    return execution


def submit_all(orders: Sequence[Order]) -> list[Execution]:
    """Have many things done, in this order: as `submit` for each, in two statements for all."""
    # Without a savepoint: whoever submits much in one transaction does not want to keep a part of it.
    with transaction.atomic(savepoint=False):
        executions = Execution.objects.bulk_create(map(_execution, orders))
        made = Task.objects.bulk_create(
            Task(
                execution_id=execution.id,
                vendor_type=order.job.vendor_type,
                queue=order.queue or order.job.queue,
                series=order.series,
                params=params,
            )
            for order, execution in zip(orders, executions, strict=True)
            for params in order.tasks
        )
        bell.ring_on_commit(turns.at_first(made))
    return executions


def _execution(order: Order) -> Execution:
    execution = Execution(
        vendor_type=order.job.vendor_type,
        vendor_id=order.vendor_id,
        trigger=order.trigger,
        extra_attrs=order.extra_attrs,
    )
    if not order.tasks:
        execution.status, execution.end_time = Status.SUCCESS, Now()
    return execution


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
        found = list(chosen.only("id", "status", "execution_id", "series", "extra_attrs"))
        waiting = [task for task in found if task.status == Status.PENDING]
        _all(found).filter(status=Status.RUNNING).update(is_stop_asked=True)
        _all(waiting).update(status=Status.STOPPED, end_time=Now(), update_time=Now())
        told: dict[int, dict[str, Any]] = defaultdict(dict)
        for task in waiting:
            # It may have done something before it had to wait.
            told[task.execution_id].update(task.extra_attrs)
        for execution_id in sorted(told):
            roll_up(execution_id, told[execution_id])
        # Who stood behind them.
        for series in {task.series for task in waiting if task.series}:
            transaction.on_commit(functools.partial(_ring_for_series, series), robust=True)


def _all(tasks: Sequence[Task]) -> TaskQuerySet:
    return Task.objects.filter(id__in=[task.id for task in tasks])


def _ring_for_series(series: str) -> None:
    bell.ring(turns.of_series(series))


def roll_up(execution_id: int, told: dict[str, Any] | None = None, message: str = "") -> None:
    """Let an execution stand as its tasks do, and know what one of them told; inside the caller's transaction."""
    if not _HOLD.row(execution_id):
        return
    # In a following statement: of two tasks that end at once, the second to come here sees both.
    (statuses,) = _STATUSES.rows(execution_id)[0]
    _STAND.rows(execution_id, status.of_execution(statuses), json.dumps(told or {}), message)
