"""Webhook policies: made, changed, deleted, and their secrets. What is sent: `projects/webhook_messages.py`."""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import F

from core import clock, errors, http
from core.constraints import refuse_duplicates
from core.events import SYSTEM, emit
from projects import projects
from projects.events import (
    WebhookEndpointDisabled,
    WebhookPolicyCreated,
    WebhookPolicyDeleted,
    WebhookPolicyEvent,
    WebhookPolicyUpdated,
    WebhookSecretChanged,
)
from projects.models import Project, WebhookPolicy, WebhookTarget
from projects.webhooks import KINDS
from rbac.access import Actor

# In the order of Harbor's contract.
EVENT_TYPES = (
    "PUSH_ARTIFACT",
    "PULL_ARTIFACT",
    "DELETE_ARTIFACT",
    "QUOTA_EXCEED",
    "QUOTA_WARNING",
    "SCANNING_FAILED",
    "SCANNING_STOPPED",
    "SCANNING_COMPLETED",
    "REPLICATION",
    "TAG_RETENTION",
)
# Each event reads all of its project's, and may be a message to each of its endpoints: who has more of them has more of
# the workers' time, which everybody's messages share.
MOST_POLICIES = 50
MOST_TARGETS = 10
MOST_ENDPOINTS = 50
HEADER_MOST = 4096
DESCRIPTION_MOST = 4096
LOOK_UP_SECONDS = 2.0
"""For the names of all endpoints of a policy: who saves one waits for it, and so does a thread of ours."""
_SECRET_PREFIX = "whsec_"  # noqa: S105 - how Standard Webhooks writes what follows it


class HeaderInvalid(errors.BadRequest):
    """auth_header is not a line that a header can have."""


class EndpointTwice(errors.BadRequest):
    """targets names an endpoint twice; it would be told everything twice"""


@dataclass(frozen=True)
class Terms:
    """What a policy says; `checked` makes one."""

    name: str
    description: str
    event_types: list[str]
    targets: list[dict[str, Any]]
    """Columns of WebhookTarget."""
    enabled: bool


def checked(
    *, name: str, description: str, event_types: Sequence[str], targets: Sequence[Mapping[str, Any]], enabled: bool
) -> Terms:
    """What a policy may say; BadRequest, with what would be right, for everything else.

    Names of endpoints are looked up: one in a network that webhooks may not call is refused. The `detail` of what is
    refused because of an endpoint names it: `{"target": 0}` is the first.
    """
    if not 0 < len(name) <= 255:
        raise errors.BadRequest("a webhook policy's name has 1 to 255 characters")
    if len(description) > DESCRIPTION_MOST:
        raise errors.BadRequest(f"a webhook policy's description has at most {DESCRIPTION_MOST} characters")
    if not event_types:
        raise errors.BadRequest(f"event_types names at least one of {', '.join(EVENT_TYPES)}")
    for event_type in event_types:
        if event_type not in EVENT_TYPES:
            raise errors.BadRequest(
                f"unsupported event type {event_type[:40]!r}: it is one of {', '.join(EVENT_TYPES)}"
            )
    if not 0 < len(targets) <= MOST_TARGETS:
        raise errors.BadRequest(f"targets has 1 to {MOST_TARGETS} endpoints, not {len(targets)}")
    ends = time.monotonic() + LOOK_UP_SECONDS
    rows: list[dict[str, Any]] = []
    for target in targets:
        with _refusals_name(target=len(rows)):
            row = _checked_target(target, ends)
            if row in rows:
                raise EndpointTwice
            rows.append(row)
    return Terms(name, description, [each for each in EVENT_TYPES if each in event_types], rows, enabled)


def create(*, project: Project, terms: Terms, actor: Actor) -> WebhookPolicy:
    """A new policy, with a secret. Conflict when the project has one of this name, Precondition when it has enough."""
    policy = WebhookPolicy(project=project, creator=actor.name, secret=new_secret(), created=clock.now())
    with projects.held(project):
        if WebhookPolicy.objects.filter(project=project).count() >= MOST_POLICIES:
            raise errors.Precondition(f"project {project.name} has {MOST_POLICIES} webhook policies, and no more fit")
        _check_room(policy, terms)
        _save(policy, terms)
        emit(_event(WebhookPolicyCreated, policy, actor.name))
    return policy


def update(*, project: Project, policy_id: int, terms: Terms, actor: Actor) -> None:
    """Change a policy. What waits for an endpoint goes to the one that replaces it, if it is not named any more.

    Saved, an endpoint that was switched off for its failures is on again. NotFound, Conflict, Precondition.
    """
    with _changing(project, policy_id) as policy:
        _check_room(policy, terms)
        _save(policy, terms)
        emit(_event(WebhookPolicyUpdated, policy, actor.name))


def switch(*, project: Project, policy_id: int, enabled: bool, actor: Actor) -> None:
    """Switch a policy on or off; on, also for those of its endpoints that were off for their failures. NotFound."""
    with _changing(project, policy_id) as policy:
        policy.enabled = enabled
        policy.save(update_fields=["enabled", "updated"])
        if enabled:
            policy.targets.update(failing_since=None, disabled=None)
        emit(_event(WebhookPolicyUpdated, policy, actor.name))


def delete(*, project: Project, policy_id: int, actor: Actor) -> None:
    """Delete a policy; what waits to be sent is not sent. NotFound."""
    with _changing(project, policy_id) as policy:
        emit(_event(WebhookPolicyDeleted, policy, actor.name))
        policy.delete()


def change_secret(*, project: Project, policy_id: int, actor: Actor) -> str:
    """Give a policy another secret, and return it: what is sent from now on is signed with it. NotFound."""
    with _changing(project, policy_id) as policy:
        policy.secret = new_secret()
        policy.save(update_fields=["secret", "updated"])
        emit(_event(WebhookSecretChanged, policy, actor.name))
    return policy.secret


def disable_endpoint(*, target_id: int, since: datetime) -> None:
    """Send nothing more to an endpoint that has failed since then; the policy is off when it was the last one."""
    target = WebhookTarget.objects.select_related("policy__project").filter(pk=target_id, disabled=None).first()
    if target is None:
        return
    with _changing(target.policy.project, target.policy_id) as policy:
        # Somebody may have saved the policy meanwhile, or another one arrived.
        found = WebhookTarget.objects.filter(pk=target_id, disabled=None, failing_since=since)
        if not found.update(disabled=clock.now()):
            return
        if not policy.targets.filter(disabled=None).exists():
            policy.enabled = False
            policy.save(update_fields=["enabled", "updated"])
        emit(
            WebhookEndpointDisabled(
                **_facts(policy, SYSTEM), address=http.origin(target.address), since=since.isoformat()
            )
        )


def secret_key(secret: str) -> bytes:
    """The key in a secret as people see it."""
    return base64.b64decode(secret.removeprefix(_SECRET_PREFIX))


def new_secret() -> str:
    """Another secret for signatures."""
    return _SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def _checked_target(target: Mapping[str, Any], ends: float) -> dict[str, Any]:
    kind = KINDS.get(target["type"])
    if kind is None:
        raise errors.BadRequest(f"unsupported target type {target['type'][:40]!r}: it is {' or '.join(KINDS)}")
    payload_format = target["payload_format"] or (kind.formats[0] if kind.formats else "")
    if payload_format and not kind.formats:
        raise errors.BadRequest(f"set payload format is not allowed for {target['type']}")
    if kind.formats and payload_format not in kind.formats:
        raise errors.BadRequest(
            f"unsupported payload format type {payload_format[:40]!r}: it is {' or '.join(kind.formats)}"
        )
    header = target["auth_header"]
    if len(header) > HEADER_MOST or not header.isprintable() or not header.isascii() or header != header.strip():
        raise HeaderInvalid(f"auth_header is one line of up to {HEADER_MOST} ASCII characters, no blanks at its ends")
    # A moment each has in any case: an address in numbers is judged at once.
    http.check(target["address"], reach=http.OF_PROJECTS, seconds=max(0.1, ends - time.monotonic()))
    return {**target, "payload_format": payload_format}


def _check_room(policy: WebhookPolicy, terms: Terms) -> None:
    others = WebhookTarget.objects.filter(policy__project=policy.project).exclude(policy=policy.pk).count()
    if others + len(terms.targets) > MOST_ENDPOINTS:
        raise errors.Precondition(
            f"project {policy.project.name} has {others} endpoints in other webhook policies, and room for "
            f"{MOST_ENDPOINTS} in all"
        )


@contextmanager
def _refusals_name(**detail: int) -> Iterator[None]:
    try:
        yield
    except errors.Refusal as refusal:
        refusal.detail = detail
        raise


def _save(policy: WebhookPolicy, terms: Terms) -> None:
    policy.name, policy.description = terms.name, terms.description
    policy.event_types, policy.enabled = terms.event_types, terms.enabled
    with _named_once(terms.name):
        policy.save()
    _save_targets(policy, terms.targets)


def _save_targets(policy: WebhookPolicy, targets: Sequence[Mapping[str, Any]]) -> None:
    """Endpoints stay the rows that they were, with what waits for them; new ones take those of whom they replace.

    Another type's they cannot take: what waits there is in words that they would not understand.
    """
    left = list(policy.targets.order_by("position"))
    same = [_take(left, type=columns["type"], address=columns["address"]) for columns in targets]
    rows = [
        row or _take(left, type=columns["type"]) or WebhookTarget(policy=policy)
        for row, columns in zip(same, targets, strict=True)
    ]
    WebhookTarget.objects.filter(pk__in=[row.pk for row in left]).delete()
    # Each place is there once, so all leave theirs first.
    policy.targets.update(position=-1 - F("position"))
    for position, (row, columns) in enumerate(zip(rows, targets, strict=True)):
        for name, value in {**columns, "position": position, "failing_since": None, "disabled": None}.items():
            setattr(row, name, value)
        row.save()


def _take(rows: list[WebhookTarget], **facts: str) -> WebhookTarget | None:
    """The first of these of which that is true, taken out of them."""
    for row in rows:
        if all(getattr(row, name) == value for name, value in facts.items()):
            rows.remove(row)
            return row
    return None


def _named_once(name: str) -> AbstractContextManager[None]:
    return refuse_duplicates(webhook_policy_once_per_project=f"the project has a webhook policy {name[:100]} already")


@contextmanager
def _changing(project: Project, number: int) -> Iterator[WebhookPolicy]:
    """The policy's row as it is now; no other of the project's changes meanwhile."""
    with projects.held(project):
        yield find(project, number)


def find(project: Project, number: int) -> WebhookPolicy:
    """A project's policy by its number; NotFound."""
    policy: WebhookPolicy | None = WebhookPolicy.objects.filter(project=project, pk=number).first()
    if policy is None:
        raise errors.NotFound(f"webhook policy {number} not found in project {project.name}")
    policy.project = project
    return policy


def _event(kind: type[WebhookPolicyEvent], policy: WebhookPolicy, actor: str) -> WebhookPolicyEvent:
    return kind(**_facts(policy, actor))


def _facts(policy: WebhookPolicy, actor: str) -> dict[str, Any]:
    return {
        "actor": actor,
        "project_id": policy.project_id,
        "project": policy.project.name,
        "policy_id": policy.pk,
        "policy": policy.name,
    }
