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
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import OuterRef, QuerySet, Subquery
from django.db.models.functions import Greatest

from core import clock, configuration, errors, http
from core.events import emit
from core.postgres.prepared import Columns, Statement
from jobservice import service
from jobservice.context import Context, Stopped
from jobservice.job import JOBS
from jobservice.models import Execution, Task
from jobservice.service import Order
from jobservice.status import Status, Trigger
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
BREAK = timedelta(hours=1)
"""When nothing was tried for so long, what failed before is another story; tries are ten minutes apart at most."""
MOST_RESOURCES = 100
"""Of one message, which receivers read whole, and we keep and list: who has more to say says it in several."""
CHARACTERS_AT_ONCE = 1_000_000
"""Of bodies, so many are written in one statement."""
# Answers that say: not now.
_LATER = (408, 425, 429)
# Among so many failures of a policy the last one of one of its endpoints is looked for.
_RECENT = 20
# Asked for every message.
_TARGET = Columns(WebhookTarget, "target")
_POLICY = Columns(WebhookPolicy, "policy")
_PROJECT = Columns(Project, "project", without=("metadata", "owner_id", "created", "updated"))
_FIND = Statement(
    "bigint",
    f"""
    SELECT {_TARGET.sql}, {_POLICY.sql}, {_PROJECT.sql} FROM projects_webhooktarget target
    JOIN projects_webhookpolicy policy ON policy.id = target.policy_id
    JOIN projects_project project ON project.id = policy.project_id
    WHERE target.id = $1
    """,  # noqa: S608 - columns of our own
)
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


class Silence(StrEnum):
    """Why nothing is sent to an endpoint."""

    GONE = "its endpoint is gone"
    PLATFORM = "notifications are switched off for the platform (notification_enable)"
    PROJECT = "its project is deleted"
    ENDPOINT = "nothing had arrived for a day, so its endpoint was switched off"
    POLICY = "its policy is switched off"


class NotSent(errors.Precondition):
    """Nothing is sent there at present."""

    def __init__(self, why: Silence) -> None:
        self.why = why
        super().__init__(f"it cannot be sent: {why}")


class NotDelivered(errors.Refusal):
    """The endpoint did not take the message."""

    permanent = False


# --- who is told ----------------------------------------------------------------------------------------------
def announce(happened: Sequence[tuple[NewsOfRepository, datetime]]) -> None:
    """Have events told to all who want to hear of them, in their order and within the caller's transaction."""
    targets = (
        _listening({event.project_id for event, _ in happened}) if configuration.get("notification_enable") else {}
    )
    wanted = [
        (part, occurred)
        for event, occurred in happened
        if event.project_id in targets
        for part in event.parts(MOST_RESOURCES)
    ]
    _submit(_orders(wanted, targets))


def _submit(orders: Iterable[Order]) -> None:
    """Have them done, some at a time: many events for many endpoints need not be in memory together."""
    some, size = [], 0
    for order in orders:
        some.append(order)
        size += len(order.extra_attrs["payload"])
        if size > CHARACTERS_AT_ONCE:
            service.submit_all(some)
            some, size = [], 0
    if some:
        service.submit_all(some)


def _orders(
    wanted: Sequence[tuple[NewsOfRepository, datetime]], targets: dict[int | None, list[WebhookTarget]]
) -> Iterator[Order]:
    """What is to be sent: each event to all who want to hear of it, in the order of events."""
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
                yield order(target, message)


def events_data(events: Sequence[NewsOfRepository]) -> Iterator[dict[str, Any]]:
    """Harbor's `event_data` of each; what is empty is left out, as there."""
    # By project as well: a deleted one may have had the same name.
    projects = {event.project_id for event in events if event.project_id is not None}
    found = Repository.objects.filter(project__in=projects, name__in={event.repository for event in events})
    repositories: dict[tuple[int | None, str], tuple[datetime | None, bool]] = {
        (project_id, name): (created, is_public)
        for project_id, name, created, is_public in found.values_list(
            "project_id", "name", "created", "project__public"
        )
    }
    missing = {event.project_id or 0 for event in events if (event.project_id, event.repository) not in repositories}
    public = set(Project.objects.filter(pk__in=missing, public=True).values_list("pk", flat=True)) if missing else ()
    for event in events:
        unknown = (None, event.project_id in public)
        yield _event_data(event, *repositories.get((event.project_id, event.repository), unknown))


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
    found = WebhookTarget.objects.filter(
        disabled=None, policy__enabled=True, policy__project__in=projects, policy__project__deleted__isnull=True
    )
    targets: dict[int | None, list[WebhookTarget]] = {}
    # No more than orders are made of. Descriptions may be long; and without secrets, should their key be lost, what
    # happens is kept for them all the same.
    columns = ("position", "type", "payload_format", "policy__project", "policy__event_types")
    for target in found.select_related("policy").only(*columns).order_by("policy", "position"):
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
        tasks=[
            {
                "target": target.pk,
                "message": message.id,
                "content_type": kind.content_type(target.payload_format),
                "body": body,
            }
        ],
        series=target.series,
        extra_attrs={"event_type": message.event_type, "payload": body},
    )


def redeliver(*, project: Project, policy_id: int, execution_id: int, actor: Actor) -> Execution:
    """Send once more what was sent, or should have been: the same message, after all that waits.

    NotFound, and NotSent when nothing is sent there at present.
    """
    execution = find_execution(webhook_policies.find(project, policy_id), execution_id)
    params = Task.objects.filter(execution_id=execution.id).values_list("params", flat=True).get()
    target = _open_target(params["target"])
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


def find_execution(policy: WebhookPolicy, number: int) -> Execution:
    """One of a policy's executions by its number; NotFound."""
    execution = executions_of(policy).filter(id=number).first()
    if execution is None:
        raise errors.NotFound(f"execution {number} not found in webhook policy {policy.pk}")
    return execution


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


# --- one message to one endpoint ----------------------------------------------------------------------------------
def deliver(ctx: Context, *, target_id: int, message_id: str, content_type: str, body: str) -> None:
    """Send a message. Stopped when nothing is to be sent there; NotDelivered when it did not arrive."""
    try:
        target = _open_target(target_id)
    except NotSent as refusal:
        ctx.log.info("It is not sent: %s", refusal.why)
        raise Stopped from refusal
    headers = {"Content-Type": content_type, **_signature(target, message_id, body, int(clock.time()))}
    _log_request(ctx, target, headers, body)
    began = time.monotonic()
    try:
        status = _post(ctx, target, headers, body)
    except http.Failure as error:
        ctx.log.warning("%s, after %d ms", error.message, _milliseconds(began))
        raise _failure(ctx, target, error.message, is_refused=error.permanent) from error
    ctx.tell(response_status=status, duration_ms=_milliseconds(began))
    if not 200 <= status < 300:
        is_refused = status < 500 and status not in _LATER
        raise _failure(ctx, target, f"the endpoint answered {status}", is_refused=is_refused)
    if target.failing_since:
        WebhookTarget.objects.filter(pk=target.pk).update(failing_since=None)


def signature(*, secret: str, message_id: str, timestamp: int, body: str) -> str:
    """Standard Webhooks' signature over id, time and body."""
    signed = f"{message_id}.{timestamp}.{body}".encode()
    digest = hmac.digest(webhook_policies.secret_key(secret), signed, hashlib.sha256)
    return f"v1,{base64.b64encode(digest).decode()}"


def is_last_try(*, refusals: int, failing: timedelta) -> bool:
    """Whether a message that did not arrive is given up: refused for the third time, or after a day of failures."""
    return refusals >= REFUSALS or failing >= PATIENCE


def failing_since(*, since: datetime | None, last: datetime | None, now: datetime) -> datetime:
    """Since when an endpoint that fails now has failed again and again, given its first and its last failure so far."""
    return now if since is None or (last is not None and now - last > BREAK) else since


def _target(number: int) -> WebhookTarget | None:
    """An endpoint as it is now, with its policy and project at hand."""
    row = _FIND.row(number)
    if row is None:
        return None
    target = _TARGET.instance(row[: _TARGET.count])
    target.policy = _POLICY.instance(row[_TARGET.count : -_PROJECT.count])
    target.policy.project = _PROJECT.instance(row[-_PROJECT.count :])
    return target


def silence_of(target: WebhookTarget) -> Silence | None:
    """Why nothing is sent to an endpoint; None when all is well."""
    if not configuration.get("notification_enable"):
        return Silence.PLATFORM
    if target.policy.project.deleted:
        return Silence.PROJECT
    if target.disabled:
        return Silence.ENDPOINT
    return None if target.policy.enabled else Silence.POLICY


def _open_target(number: int) -> WebhookTarget:
    """An endpoint that something is sent to at present; else NotSent."""
    target = _target(number)
    if target is None:
        raise NotSent(Silence.GONE)
    if why := silence_of(target):
        raise NotSent(why)
    return target


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


def _failure(ctx: Context, target: WebhookTarget, reason: str, *, is_refused: bool) -> NotDelivered:
    """Remember that it failed, switch the endpoint off if that is so for too long, and say whether to try again."""
    now = clock.now()
    since = failing_since(since=target.failing_since, last=target.last_failed, now=now)
    same = WebhookTarget.objects.filter(pk=target.pk, failing_since=target.failing_since)
    if not same.update(failing_since=since, last_failed=now):
        # Somebody saved it meanwhile, or another message arrived.
        since = now
    # Attempts are no refusals: a receiver may have been away before, and workers die.
    refusals = ctx.state.get("refusals", 0) + is_refused
    failed = NotDelivered(reason)
    failed.permanent = is_last_try(refusals=refusals, failing=now - since)
    if now - since >= PATIENCE:
        webhook_policies.disable_endpoint(target_id=target.pk, since=since)
    if is_refused and not failed.permanent:
        ctx.checkpoint({"refusals": refusals})
    return failed


def _milliseconds(began: float) -> int:
    return round((time.monotonic() - began) * 1000)
