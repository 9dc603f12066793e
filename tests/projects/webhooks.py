"""Webhooks for tests: a policy with endpoints, something that happens, and a worker in this process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.db.models.functions import Now

from core.events import emit
from jobservice import relay, runner
from jobservice.models import Task
from projects import webhook_policies
from projects.events import ArtifactPushed
from projects.models import Project, WebhookPolicy
from rbac.access import Actor

DIGEST = f"sha256:{'a' * 64}"
TARGET = {
    "type": "http",
    "address": "https://example.com/hook",
    "auth_header": "",
    "skip_cert_verify": False,
    "payload_format": "",
}
PUSHES = ("PUSH_ARTIFACT",)


def make_policy(
    project: Project,
    actor: Actor,
    *addresses: str,
    name: str = "ci",
    event_types: Sequence[str] = PUSHES,
    enabled: bool = True,
    **target: Any,
) -> WebhookPolicy:
    terms = webhook_policies.checked(
        name=name,
        description="",
        event_types=event_types,
        targets=[{**TARGET, "address": address, **target} for address in addresses or (TARGET["address"],)],
        enabled=enabled,
    )
    return webhook_policies.create(project=project, terms=terms, actor=actor)


def happen(project: Project, *tags: str, repository: str = "app") -> None:
    """Somebody pushed these tags, one after the other."""
    for tag in tags:
        with transaction.atomic():
            emit(
                ArtifactPushed(
                    actor="bob",
                    project_id=project.pk,
                    project=project.name,
                    repository=f"{project.name}/{repository}",
                    digest=DIGEST,
                    tag=tag,
                )
            )


def work(*, as_if_later: bool = False) -> None:
    """Relay what happened, and run what is due; `as_if_later` also what waits for its next try."""
    relay.run()
    waiting = Task.objects.pending().order_by("id")
    if as_if_later:
        waiting.update(due=Now())
    for id in list(waiting.filter(due__lte=Now()).values_list("id", flat=True)):
        runner.run(id, worker="test/1")


def tags_told(documents: Sequence[Any]) -> list[str]:
    """The tags that endpoints heard of, in order."""
    return [document["event_data"]["resources"][0]["tag"] for document in documents]
