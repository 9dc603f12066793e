"""What webhooks send: who is told of an event, and how one message reaches one endpoint.

Each endpoint gets what it wants to hear of in order, at least once: its messages are a series of tasks, each tried
until it has arrived, was refused several times, or nothing has arrived there for a day.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction

from core import clock, configuration, errors, http
from core.events import emit
from jobservice import service
from jobservice.context import Context, Stopped
from jobservice.job import JOBS
from jobservice.models import Execution, Task
from jobservice.service import Order
from jobservice.status import Trigger
from projects import webhook_policies
from projects.events import NewsOfRepository, WebhookRedelivered
from projects.models import Project, Repository, WebhookPolicy, WebhookTarget
from projects.webhooks import KINDS
from projects.webhooks.base import Message
from rbac.access import Actor

VENDOR_TYPES = {WebhookTarget.Type.HTTP: "WEBHOOK", WebhookTarget.Type.SLACK: "SLACK"}
"""Harbor's names for the jobs that send to each type of endpoint."""
LIMITS = http.Limits(connect_seconds=3, silence_seconds=10, total_seconds=15, most_bytes=1024)
"""Of an answer its first KiB is kept."""
REFUSALS = 3
"""So often a message is sent to an endpoint that answers, and does not want it."""
PATIENCE = timedelta(hours=24)
"""So long everything may fail before an endpoint is switched off."""
# Answers that say: not now.
_LATER = (408, 425, 429)


class NotDelivered(errors.Refusal):
    """The endpoint did not take the message."""

    permanent = False


# --- who is told ----------------------------------------------------------------------------------------------
def announce(happened: Sequence[tuple[NewsOfRepository, datetime]]) -> None:
    """Have events told to all who want to hear of them, in their order and within the caller's transaction."""
    targets = (
        _listening({event.project_id for event, _ in happened}) if configuration.get("notification_enable") else {}
    )
    wanted = [each for each in happened if each[0].project_id in targets]
    orders = []
    for (event, occurred), data in zip(wanted, events_data([event for event, _ in wanted]), strict=True):
        id = str(uuid.uuid4())
        for target in targets[event.project_id]:
            if event.topic in target.policy.event_types:
                message = Message(
                    id=id,
                    event_type=event.topic,
                    occurred=int(occurred.timestamp()),
                    operator=event.actor,
                    request_id=event.request_id,
                    project_id=event.project_id or 0,
                    policy_id=target.policy_id,
                    data=data,
                )
                orders.append(order(target, message))
    service.submit_all(orders)


def events_data(events: Sequence[NewsOfRepository]) -> list[dict[str, Any]]:
    """Harbor's `event_data` of each; what is empty is left out, as there."""
    repositories = {
        name: (created, is_public)
        for name, created, is_public in Repository.objects.filter(
            name__in={event.repository for event in events}
        ).values_list("name", "created", "project__public")
    }
    missing = {event.project for event in events if event.repository not in repositories}
    public = (
        set(Project.objects.filter(name__in=missing, public=True).values_list("name", flat=True)) if missing else ()
    )
    return [
        _event_data(event, *repositories.get(event.repository, (None, event.project in public))) for event in events
    ]


def _event_data(event: NewsOfRepository, created: datetime | None, is_public: bool) -> dict[str, Any]:
    data: dict[str, Any] = {}
    if event.resources:
        data["resources"] = [
            {
                "digest": resource.digest,
                # Harbor's way of naming what has no tag.
                "tag": resource.tag or resource.digest,
                "resource_url": f"{settings.EXTERNAL_HOST}/{event.repository}"
                + (f":{resource.tag}" if resource.tag else f"@{resource.digest}"),
            }
            for resource in event.resources
        ]
    data["repository"] = {
        **({"date_created": int(created.timestamp())} if created else {}),
        "name": event.repository.removeprefix(f"{event.project}/"),
        "namespace": event.project,
        "repo_full_name": event.repository,
        "repo_type": "public" if is_public else "private",
    }
    if event.attributes:
        data["custom_attributes"] = event.attributes
    return data


def _listening(projects: Collection[int | None]) -> dict[int | None, list[WebhookTarget]]:
    """The endpoints of these projects that anything is sent to."""
    # Without secrets: should their key be lost, what happens is kept for them all the same.
    found = WebhookTarget.objects.defer("auth_header", "policy__secret").filter(
        disabled=None, policy__enabled=True, policy__project__in=projects, policy__project__deleted__isnull=True
    )
    targets: dict[int | None, list[WebhookTarget]] = {}
    for target in found.select_related("policy").order_by("policy", "position"):
        targets.setdefault(target.policy.project_id, []).append(target)
    return targets


def order(target: WebhookTarget, message: Message) -> Order:
    """What has a message sent to an endpoint."""
    kind = KINDS[target.type]
    body = kind.body(message, target.payload_format)
    return Order(
        job=JOBS[VENDOR_TYPES[WebhookTarget.Type(target.type)]],
        trigger=Trigger.EVENT,
        vendor_id=message.policy_id,
        params={
            "target": target.pk,
            "message": message.id,
            "content_type": kind.content_type(target.payload_format),
            "body": body,
        },
        series=target.series,
        extra_attrs={"event_type": message.event_type, "payload": body},
    )


def redeliver(*, project: Project, policy_id: int, execution_id: int, actor: Actor) -> Execution:
    """Send once more what was sent, or should have been: the same message, after all that waits.

    NotFound, and Precondition when nothing is sent there at present.
    """
    execution = find_execution(webhook_policies.find(project, policy_id), execution_id)
    params = Task.objects.filter(execution_id=execution.id).values_list("params", flat=True).get()
    target = _target(params["target"])
    if target is None or (reason := _why_silent(target)):
        raise errors.Precondition(f"it cannot be sent: {'its endpoint is gone' if target is None else reason}")
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


def executions_of(policy: WebhookPolicy) -> Any:
    """What was sent for a policy."""
    return Execution.objects.filter(vendor_type__in=VENDOR_TYPES.values(), vendor_id=policy.pk)


def find_execution(policy: WebhookPolicy, number: int) -> Execution:
    """One of a policy's executions by its number; NotFound."""
    execution: Execution | None = executions_of(policy).filter(id=number).first()
    if execution is None:
        raise errors.NotFound(f"execution {number} not found in webhook policy {policy.pk}")
    return execution


# --- one message to one endpoint ----------------------------------------------------------------------------------
def deliver(ctx: Context, *, target_id: int, message_id: str, content_type: str, body: str) -> None:
    """Send a message. Stopped when nothing is to be sent there; NotDelivered when it did not arrive."""
    target = _target(target_id)
    if target is None or (reason := _why_silent(target)):
        ctx.log.info("It is not sent: %s", "its endpoint is gone" if target is None else reason)
        raise Stopped
    headers = {"Content-Type": content_type, **_signature(target, message_id, body, int(clock.time()))}
    _log_request(ctx, target, headers, body)
    began = time.monotonic()
    try:
        status = _post(ctx, target, headers, body)
    except http.Failure as error:
        ctx.log.warning("%s, after %d ms", error.message, _milliseconds(began))
        raise _failure(target, error.message, is_refused=error.permanent, attempt=ctx.attempt) from error
    ctx.tell(response_status=status, duration_ms=_milliseconds(began))
    if not 200 <= status < 300:
        is_refused = status < 500 and status not in _LATER
        raise _failure(target, f"the endpoint answered {status}", is_refused=is_refused, attempt=ctx.attempt)
    if target.failing_since:
        WebhookTarget.objects.filter(pk=target.pk).update(failing_since=None)


def signature(*, secret: str, message_id: str, timestamp: int, body: str) -> str:
    """Standard Webhooks' signature over id, time and body."""
    signed = f"{message_id}.{timestamp}.{body}".encode()
    digest = hmac.digest(webhook_policies.secret_key(secret), signed, hashlib.sha256)
    return f"v1,{base64.b64encode(digest).decode()}"


def is_last_try(*, is_refused: bool, attempt: int, failing: timedelta) -> bool:
    """Whether a message that did not arrive is given up: refused for the third time, or after a day of failures."""
    return (is_refused and attempt >= REFUSALS) or failing >= PATIENCE


def _target(number: int) -> WebhookTarget | None:
    return WebhookTarget.objects.select_related("policy__project").filter(pk=number).first()


def _why_silent(target: WebhookTarget) -> str:
    """Why nothing is sent to an endpoint; empty when all is well."""
    if not configuration.get("notification_enable"):
        return "notifications are switched off for the platform (notification_enable)"
    if target.policy.project.deleted:
        return "its project is deleted"
    if target.disabled:
        return (
            f"nothing had arrived for a day, so its endpoint was switched off on {target.disabled:%Y-%m-%d %H:%M} UTC"
        )
    return "" if target.policy.enabled else "its policy is switched off"


def _signature(target: WebhookTarget, message_id: str, body: str, timestamp: int) -> dict[str, str]:
    # Without a secret: `reencrypt --forget-lost`.
    if not KINDS[target.type].is_signed or not target.policy.secret:
        return {}
    signed = signature(secret=target.policy.secret, message_id=message_id, timestamp=timestamp, body=body)
    return {"webhook-id": message_id, "webhook-timestamp": str(timestamp), "webhook-signature": signed}


def _log_request(ctx: Context, target: WebhookTarget, headers: dict[str, str], body: str) -> None:
    """Without what authorises us, which only those may see who can change it."""
    ctx.log.info("POST %s", http.without_query(target.address))
    for name, value in {**headers, **({"Authorization": "(hidden)"} if target.auth_header else {})}.items():
        ctx.log.info("%s: %s", name, value)
    ctx.log.info("%s", body if ctx.attempt == 1 else "(the body is the first attempt's)")


def _post(ctx: Context, target: WebhookTarget, headers: dict[str, str], body: str) -> int:
    began = time.monotonic()
    answer = http.request(
        "POST",
        target.address,
        reach=http.OF_PROJECTS,
        headers={**headers, **({"Authorization": target.auth_header} if target.auth_header else {})},
        body=body.encode(),
        limits=LIMITS,
        verify=not target.skip_cert_verify,
        redirects=3,
        cut=True,
    )
    # On one line, whatever it holds.
    said = json.dumps(answer.content.decode(errors="replace"), ensure_ascii=False)
    ctx.log.info(
        "answered %d in %d ms: %s%s", answer.status, _milliseconds(began), said, "" if answer.is_whole else "…"
    )
    return answer.status


def _failure(target: WebhookTarget, reason: str, *, is_refused: bool, attempt: int) -> NotDelivered:
    """Remember that it failed, switch the endpoint off if that is so for too long, and say whether to try again."""
    since = target.failing_since
    if since is None:
        since = clock.now()
        WebhookTarget.objects.filter(pk=target.pk, failing_since=None).update(failing_since=since)
    failing = clock.now() - since
    failed = NotDelivered(reason)
    failed.permanent = is_last_try(is_refused=is_refused, attempt=attempt, failing=failing)
    if failing >= PATIENCE:
        webhook_policies.disable_endpoint(target_id=target.pk, since=since)
    return failed


def _milliseconds(began: float) -> int:
    return round((time.monotonic() - began) * 1000)
