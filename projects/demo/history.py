"""What the demo has done in the months that are kept: deliveries, garbage collections, purges of the audit log."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from core import clock, partitions
from core.events import SYSTEM
from jobservice import cron, housekeeping
from jobservice.context import log_line
from jobservice.job import JOBS
from jobservice.models import Execution, Schedule, Task, TaskLog, execution, task, task_log
from jobservice.service import Order
from jobservice.status import Status, Trigger
from projects import webhook_messages
from projects.demo.size import Size
from projects.events import ArtifactPushed
from projects.models import Project, Tag, WebhookTarget
from projects.webhooks.base import Message

Ran = tuple[Execution, Task, TaskLog]
# What runs by the clock: its parameters, and what it tells of itself.
_KINDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "GARBAGE_COLLECTION": (
        {"workers": 1, "delete_untagged": False, "dry_run": False},
        {"freed_space": 0, "purged_blobs": 0, "purged_manifests": 0},
    ),
    "PURGE_AUDIT_LOG": (
        {"audit_retention_hour": 10_000, "include_event_types": "create_artifact", "dry_run": False},
        {"purged": 0},
    ),
}


def make_months() -> None:
    """Partitions for all that is made here."""
    month = _first_day()
    while month <= clock.now().date():
        for table in (execution.MONTHS, task.MONTHS, task_log.MONTHS):
            table.make_partitions(month)
        month = partitions.next_month(month)


def make_deliveries(size: Size, numbers: range) -> None:
    """Some of the deliveries, in the order in which they happened: half of them are the first policy's."""
    targets = list(WebhookTarget.objects.select_related("policy__project").order_by("policy_id"))
    tags = _latest_tags({target.policy.project_id for target in targets})
    chosen = [targets[0 if number % 2 else number // 2 % len(targets)] for number in numbers]
    events = [_event(target.policy.project, tags, number) for target, number in zip(chosen, numbers, strict=True)]
    data = webhook_messages.events_data(events)
    _save(
        _delivery(number, _moment(number, size.deliveries), target, event.topic, each)
        for number, target, event, each in zip(numbers, chosen, events, data, strict=True)
    )


def make_runs(size: Size) -> None:
    """Garbage collections and purges, one after the other; and what is scheduled."""
    _save(_run(kind, _moment(number, size.runs)) for number in range(size.runs) for kind in _KINDS)
    # As many as a platform has whose projects keep tags by rules. Nobody here does this kind of work, so none is begun.
    projects = Project.objects.order_by("pk").values_list("pk", flat=True)[: size.schedules]
    Schedule.objects.bulk_create(
        Schedule(vendor_type="RETENTION", vendor_id=project, kind=Schedule.Kind.DAILY, cron=cron.DAILY)
        for project in projects
    )


# --- deliveries ---------------------------------------------------------------------------------------------------
def _latest_tags(projects: set[int]) -> dict[int, list[Tag]]:
    """Project → tags that may have been pushed there."""
    found: dict[int, list[Tag]] = {}
    rows = Tag.objects.filter(repository__project__in=projects, name="latest").order_by("pk")
    for tag in rows.select_related("repository", "artifact"):
        found.setdefault(tag.repository.project_id, []).append(tag)
    return found


def _event(project: Project, tags: dict[int, list[Tag]], number: int) -> ArtifactPushed:
    tag = tags[project.pk][number % len(tags[project.pk])]
    return ArtifactPushed(
        actor=SYSTEM,
        project_id=project.pk,
        project=project.name,
        repository=tag.repository.name,
        digest=tag.artifact.digest,
        tag=tag.name,
    )


def _delivery(number: int, moment: datetime, target: WebhookTarget, topic: str, data: dict[str, Any]) -> Ran:
    """One message as it arrived; every fiftieth was refused."""
    message = Message(
        id=str(uuid.uuid4()),
        event_type=topic,
        occurred=int(moment.timestamp()),
        operator=SYSTEM,
        request_id="",
        project_id=target.policy.project_id,
        policy_id=target.policy_id,
        data=data,
    )
    status, duration = 400 if number % 50 == 1 else 200, 10 + number % 90
    return _ran(
        webhook_messages.order(target, message),
        moment,
        told={"response_status": status, "duration_ms": duration},
        said=[f"POST {target.address}", f'answered {status} in {duration} ms: ""'],
        refusal="" if status == 200 else f"the endpoint answered {status}",
    )


# --- what runs by the clock -----------------------------------------------------------------------------------------
def _run(kind: str, moment: datetime) -> Ran:
    params, told = _KINDS[kind]
    order = Order(job=JOBS[kind], trigger=Trigger.SCHEDULE, tasks=[params], extra_attrs=params)
    return _ran(order, moment, told=told, said=["There was nothing to do."])


# --- rows -----------------------------------------------------------------------------------------------------------
def _ran(order: Order, moment: datetime, *, told: dict[str, Any], said: Sequence[str], refusal: str = "") -> Ran:
    """What became of an order of one task within a second."""
    (params,) = order.tasks
    ended = moment + timedelta(seconds=1)
    how = {
        "vendor_type": order.job.vendor_type,
        "status": Status.ERROR if refusal else Status.SUCCESS,
        "status_message": refusal,
        "update_time": ended,
        "end_time": ended,
    }
    return (
        Execution(
            start_time=moment,
            vendor_id=order.vendor_id,
            trigger=order.trigger,
            extra_attrs={**order.extra_attrs, **told},
            **how,
        ),
        Task(
            creation_time=moment,
            start_time=moment,
            queue=order.job.queue,
            series=order.series,
            params=params,
            run_count=1,
            extra_attrs=told,
            **how,
        ),
        TaskLog(creation_time=ended, text="".join(log_line(moment, "INFO", words) for words in said)),
    )


def _save(ran: Iterable[Ran]) -> None:
    executions, tasks, logs = zip(*ran, strict=True)
    Execution.objects.bulk_create(executions, batch_size=1000)
    for each, its in zip(tasks, executions, strict=True):
        each.execution_id = its.id
    Task.objects.bulk_create(tasks, batch_size=1000)
    for lines, its in zip(logs, tasks, strict=True):
        lines.task_id = its.id
    TaskLog.objects.bulk_create(logs, batch_size=1000)


def _moment(number: int, count: int) -> datetime:
    """From the first day that is kept until now, evenly."""
    first = datetime.combine(_first_day(), time(), UTC)
    return first + (clock.now() - first) * number / count


def _first_day() -> date:
    return housekeeping.oldest_kept(clock.now().date())
