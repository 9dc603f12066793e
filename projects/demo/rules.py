"""What the demo's projects want: which tags stay as they are, and who is to be told what."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

from projects import immutable_rules, webhook_policies
from projects.demo.size import Size
from projects.models import ImmutableRule, Project, WebhookPolicy, WebhookTarget

_EVENTS = ["PUSH_ARTIFACT", "DELETE_ARTIFACT"]


def make_rules(size: Size) -> None:
    """Immutable tag rules of every project, and webhook policies of some."""
    projects = list(Project.objects.select_related("owner").order_by("pk"))
    ImmutableRule.objects.bulk_create(_immutable_rules(size, projects), batch_size=1000)
    policies = WebhookPolicy.objects.bulk_create(_policies(size, projects))
    WebhookTarget.objects.bulk_create(_targets(policies))


def _immutable_rules(size: Size, projects: list[Project]) -> Iterator[ImmutableRule]:
    for number, project in enumerate(projects):
        for count in range(size.rules(number)):
            selectors = immutable_rules.checked(
                tags=[{"kind": "doublestar", "decoration": "matches", "pattern": f"release-{count}.*"}],
                scope={"repository": [{"kind": "doublestar", "decoration": "repoMatches", "pattern": "**"}]},
            )
            yield ImmutableRule(project=project, tag_selectors=selectors.tags, scope_selectors=selectors.scope)


def _policies(size: Size, projects: list[Project]) -> Iterator[WebhookPolicy]:
    """Switched off: whoever pushes to a demo shall not call anybody."""
    for number, project in enumerate(projects):
        for count in range(size.policies(number)):
            yield WebhookPolicy(
                project=project,
                name=f"ci-{count}",
                event_types=_EVENTS,
                enabled=False,
                creator=project.owner.username,
                secret=webhook_policies.new_secret(),
            )


def _targets(policies: list[WebhookPolicy]) -> Iterator[WebhookTarget]:
    for policy in policies:
        yield WebhookTarget(
            policy=policy,
            position=0,
            type=WebhookTarget.Type.HTTP,
            # A name that never means a machine (RFC 2606).
            address=f"https://{policy.name}.demo.invalid/hook",
            auth_header=f"Bearer {secrets.token_urlsafe()}",
            payload_format="Default",
        )
