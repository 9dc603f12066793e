"""Who is told of what happened: the messages that events become, in order, one series for each endpoint."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from django.conf import settings

from core import configuration
from jobservice import service
from jobservice.job import JOBS
from jobservice.service import Order
from jobservice.status import Trigger
from projects.events import NewsOfRepository
from projects.models import Project, Repository, WebhookTarget
from projects.webhooks import KINDS
from projects.webhooks.base import Message

VENDOR_TYPES = {WebhookTarget.Type.HTTP: "WEBHOOK", WebhookTarget.Type.SLACK: "SLACK"}
"""Harbor's names for the jobs that send to each type of endpoint."""
MOST_RESOURCES = 100
"""Of one message, which receivers read whole, and we keep and list: who has more to say says it in several."""
CHARACTERS_AT_ONCE = 1_000_000
"""Of bodies, so many are written in one statement."""


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
