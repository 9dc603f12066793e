"""What webhooks have sent: policies' executions, the last of them, what went wrong, and sending one once more."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import OuterRef, QuerySet, Subquery
from django.db.models.functions import Greatest

from core.events import emit
from core.postgres.prepared import Statement
from jobservice import finders, service
from jobservice.job import JOBS
from jobservice.models import Execution, Task
from jobservice.status import Status, Trigger
from projects import webhook_deliveries, webhook_policies
from projects.events import WebhookRedelivered
from projects.models import Project, WebhookPolicy, WebhookTarget
from projects.webhook_messages import VENDOR_TYPES
from rbac.access import Actor

# Among so many failures of a policy the last one of one of its endpoints is looked for.
_RECENT = 20
# For each policy and kind a look at the end of the index job_execution_of_event, however much was sent.
_LAST = Statement(
    "text, bigint[], text[]",
    """
    SELECT asked.policy, asked.event_type, last.start_time
    FROM unnest($2, $3) AS asked (policy, event_type), LATERAL (
        SELECT start_time FROM job_execution
        WHERE vendor_type = $1 AND vendor_id = asked.policy AND extra_attrs ->> 'event_type' = asked.event_type
        ORDER BY start_time DESC LIMIT 1
    ) last
    """,
)


def redeliver(*, project: Project, policy_id: int, execution_id: int, actor: Actor) -> Execution:
    """Send once more what was sent, or should have been: the same message, after all that waits.

    NotFound, and NotSent when nothing is sent there at present.
    """
    execution = finders.find_execution(executions_of(webhook_policies.find(project, policy_id)), execution_id)
    params = Task.objects.filter(execution_id=execution.id).values_list("params", flat=True).get()
    target = webhook_deliveries.open_target(params["target"])
    with transaction.atomic():
        made = service.submit(
            JOBS[execution.vendor_type],
            trigger=Trigger.MANUAL,
            vendor_id=policy_id,
            params=params,
            series=target.series,
            extra_attrs={key: execution.extra_attrs[key] for key in ("event_type", "payload")},
        )
        emit(
            WebhookRedelivered(
                actor=actor.name,
                project_id=project.pk,
                project=project.name,
                policy_id=policy_id,
                policy=target.policy.name,
                execution=made.id,
            )
        )
    return made


def executions_of(policy: WebhookPolicy) -> QuerySet[Execution]:
    """What was sent for a policy."""
    return Execution.objects.filter(vendor_type__in=VENDOR_TYPES.values(), vendor_id=policy.pk)


def latest_ids(policy: WebhookPolicy, most: int) -> QuerySet[Any, int]:
    """The numbers of so many executions of a policy, the last one first."""
    first, *others = [
        # By the index, whose end is read; both vendor types at once would be sorted, however much was ever sent.
        Execution.objects.filter(vendor_type=name, vendor_id=policy.pk)
        .order_by("-id")
        .values_list("id", flat=True)[:most]
        for name in VENDOR_TYPES.values()
    ]
    return first.union(*others, all=True).order_by("-id")[:most]


def latest_of(policies: Collection[WebhookPolicy]) -> dict[int, Execution]:
    """What was sent last for each policy, by the policy's id."""
    newest = [
        Subquery(Execution.objects.filter(vendor_type=name, vendor_id=OuterRef("pk")).order_by("-id").values("id")[:1])
        for name in VENDOR_TYPES.values()
    ]
    rows = WebhookPolicy.objects.filter(pk__in=[policy.pk for policy in policies]).annotate(newest=Greatest(*newest))
    return {sent.vendor_id: sent for sent in Execution.objects.filter(id__in=rows.values("newest"))}


def trouble_at(target: WebhookTarget) -> str:
    """What went wrong the last time that something was sent to an endpoint; empty when that is not known."""
    waiting = Task.objects.first_of(target.series).first()
    if waiting and waiting.status_message:
        return waiting.status_message
    kind = VENDOR_TYPES[WebhookTarget.Type(target.type)]
    sent = Execution.objects.filter(vendor_type=kind, vendor_id=target.policy_id, status=Status.ERROR)
    tasks = Task.objects.filter(execution_id__in=sent.order_by("-id").values("id")[:_RECENT], series=target.series)
    failed = tasks.order_by("-id").first()
    return failed.status_message if failed else ""


def last_told(policies: Sequence[WebhookPolicy]) -> dict[tuple[int, str], datetime]:
    """When each policy last told of each kind of event that it wants to hear of: (its id, the kind) → the time."""
    asked = [(policy.pk, event_type) for policy in policies for event_type in policy.event_types]
    ids, event_types = [id for id, _ in asked], [event_type for _, event_type in asked]
    rows = [row for kind in VENDOR_TYPES.values() for row in _LAST.rows(kind, ids, event_types)]
    return {(id, event_type): moment for id, event_type, moment in sorted(rows, key=lambda row: row[2])}
