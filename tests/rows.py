"""Rows for tests: a line each, with sane values for whatever the test does not care about."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from itertools import count
from typing import Any

from django.contrib.auth.hashers import make_password
from django.db.models.functions import Now

from core import oci
from core.store import files
from jobservice import cron, schedules
from jobservice.models import Execution, Schedule, Task, TaskLog, WorkerPool
from jobservice.status import Status, Trigger
from projects.kinds import accessory_kind, artifact_kind
from projects.models import (
    Accessory,
    Artifact,
    Manifest,
    Member,
    Project,
    Quota,
    Reference,
    Repository,
    Tag,
    WebhookPolicy,
    WebhookTarget,
)
from rbac import credentials
from rbac.models import Group, Robot, User
from rbac.roles import Role

PASSWORD = "Passw0rd-of-tests"
_numbers = count(1)


@dataclass
class Story:
    """Alice owns the private project `team`; Bob develops, Carol is a guest, Mallory a stranger."""

    admin: User
    alice: User
    bob: User
    carol: User
    mallory: User
    team: Project


def make_story() -> Story:
    alice, bob, carol, mallory = (make_user(name) for name in ("alice", "bob", "carol", "mallory"))
    team = make_project("team", alice)
    add_member(team, bob, Role.DEVELOPER)
    add_member(team, carol, Role.GUEST)
    return Story(make_user("root", is_sysadmin=True), alice, bob, carol, mallory, team)


def make_user(name: str = "", **facts: Any) -> User:
    name = name or f"user{next(_numbers)}"
    user: User = User.objects.create(
        **{"username": name, "email": f"{name}@example.com", "password": _hashed(), **facts}
    )
    return user


def make_group(name: str = "crew", users: Iterable[User] = ()) -> Group:
    group = Group.objects.create(name=name, kind=Group.Kind.OIDC)
    group.users.set(users)
    return group


def make_project(name: str = "", owner: User | None = None, **facts: Any) -> Project:
    owner = owner or make_user()
    project = Project.objects.create(name=name or f"project{next(_numbers)}", owner=owner, **facts)
    Quota.objects.create(project=project)
    add_member(project, owner, Role.PROJECT_ADMIN)
    return project


def add_member(
    project: Project, who: User | Group, role: Role, tag_scope: dict[str, list[str]] | None = None
) -> Member:
    """A member; `tag_scope` maps repository patterns to tag patterns."""
    key = {"user": who} if isinstance(who, User) else {"group": who}
    entries = [{"repository": repository, "tags": tags} for repository, tags in (tag_scope or {}).items()] or None
    return Member.objects.create(project=project, role=role, tag_scope=entries, **key)


def make_run(vendor_type: str = "GARBAGE_COLLECTION") -> tuple[Execution, Task]:
    """An execution with the one task that a worker is at, and a line of its log."""
    facts = {"workers": 1, "freed_space": 17}
    run = Execution.objects.create(vendor_type=vendor_type, trigger=Trigger.MANUAL, extra_attrs=facts)
    task = Task.objects.create(
        execution_id=run.id, vendor_type=vendor_type, queue="bulk", status=Status.RUNNING, run_count=1,
        worker="bulk@here/7", done=1, total=2, start_time=Now(), lease=Now() + timedelta(minutes=1),
    )  # fmt: skip
    TaskLog.objects.create(task_id=task.id, text="2026-11-25T12:00:00Z [INFO] workers: 1\n")
    WorkerPool.objects.get_or_create(pool_id="bulk@here", defaults={"host": "here", "pid": 6, "concurrency": 2})
    schedules.put(vendor_type=vendor_type, kind=Schedule.Kind.DAILY, at=cron.DAILY, params={"workers": 1})
    return run, task


def make_webhook(project: Project, name: str = "") -> tuple[WebhookPolicy, Execution, Task]:
    """A policy of a project with an endpoint, and what `make_delivery` makes."""
    policy = WebhookPolicy.objects.create(
        project=project, name=name or f"hook{next(_numbers)}", description="tells", event_types=["PUSH_ARTIFACT"],
        creator="alice", secret="whsec_c2VjcmV0",
    )  # fmt: skip
    WebhookTarget.objects.create(
        policy=policy, position=0, type="http", address="https://192.0.1.1/hook", auth_header="Bearer tested",
        skip_cert_verify=True, payload_format="Default",
    )  # fmt: skip
    return policy, *make_delivery(policy)


def make_delivery(policy: WebhookPolicy) -> tuple[Execution, Task]:
    """The delivery of a message that was refused."""
    target = policy.targets.get()
    message = {"event_type": "PUSH_ARTIFACT", "payload": "{}"}
    sent = Execution.objects.create(
        vendor_type="WEBHOOK", vendor_id=policy.pk, trigger=Trigger.EVENT, extra_attrs=message, status=Status.ERROR,
        status_message="the endpoint answered 400", end_time=Now(),
    )  # fmt: skip
    tried = Task.objects.create(
        execution_id=sent.id, vendor_type="WEBHOOK", queue="event", status=Status.ERROR, run_count=1,
        status_message="the endpoint answered 400", start_time=Now(), end_time=Now(), series=target.series,
        params={"target": target.pk, "message": "1", "content_type": "application/json", "body": "{}"},
        extra_attrs={"response_status": 400},
    )  # fmt: skip
    TaskLog.objects.create(task_id=tried.id, text="2026-11-25T12:00:00Z [INFO] POST https://192.0.1.1/hook\n")
    return sent, tried


def make_robot(project: Project | None = None, access: Iterable[str] = (), name: str = "", **facts: Any) -> Robot:
    """A robot with the secret PASSWORD; `access` holds `resource:action`, in its project or in the system."""
    name = name or f"bot{next(_numbers)}"
    pairs = [dict(zip(("resource", "action"), pair.split(":"), strict=True)) for pair in access]
    space = {"kind": "project", "namespace": project.name} if project else {"kind": "system", "namespace": "/"}
    robot = Robot.objects.create(
        **{
            "kept_name": f"robot${project.name}+{name}" if project else f"robot${name}",
            "short_name": name,
            "level": "project" if project else "system",
            "project_id": project.pk if project else None,
            "permissions": [{**space, "access": pairs}],
            **facts,
        }
    )
    credentials.set_robot_secret(robot, PASSWORD)
    return robot


def make_repository(project: Project, name: str = "app", **facts: Any) -> Repository:
    return Repository.objects.create(project=project, name=f"{project.name}/{name}", **facts)


def make_artifact(
    repository: Repository,
    *tags: str,
    subject: Artifact | None = None,
    pushed: datetime | None = None,
    config: str = "",
    icon: bytes = b"",
    **facts: Any,
) -> Artifact:
    """An image of its own digest with these tags; with a subject it is that one's accessory.

    `config` is the text of its configuration and `icon` a picture, which are put into the store too.
    """
    described = _descriptor("application/vnd.oci.image.config.v1+json", config or f"config{next(_numbers)}")
    if config:
        files.write_data(described["digest"], config.encode())
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": oci.OCI_MANIFEST,
        "config": described,
        "layers": [_descriptor("application/vnd.oci.image.layer.v1.tar+gzip", f"layer{next(_numbers)}")],
    }
    if icon:
        digest, annotations = oci.digest_of(icon), {"io.goharbor.artifact.v1alpha1.icon": ""}
        document["layers"].append(
            {"mediaType": "image/png", "digest": digest, "size": len(icon), "annotations": annotations}
        )
        files.write_data(digest, icon)
    if subject is not None:
        document["subject"] = {
            "mediaType": subject.media_type,
            "digest": subject.digest,
            "size": subject.manifest.size,
        }
    return _record(repository, document, tags, subject, {**facts, **({"pushed": pushed} if pushed else {})})


def make_index(repository: Repository, children: Iterable[Artifact], *tags: str, **facts: Any) -> Artifact:
    """An index over artifacts of the same repository, for linux on one architecture each."""
    document = {
        "schemaVersion": 2,
        "mediaType": oci.OCI_INDEX,
        "annotations": {"number": str(next(_numbers))},
        "manifests": [
            {
                "mediaType": child.media_type,
                "digest": child.digest,
                "size": child.manifest.size,
                "platform": {"os": "linux", "architecture": f"arch{number}"},
            }
            for number, child in enumerate(children)
        ],
    }
    return _record(repository, document, tags, None, facts)


def make_tag(artifact: Artifact, name: str, **facts: Any) -> Tag:
    return Tag.objects.create(repository=artifact.repository, artifact=artifact, name=name, **facts)


def _record(
    repository: Repository,
    document: dict[str, Any],
    tags: Iterable[str],
    subject: Artifact | None,
    facts: dict[str, Any],
) -> Artifact:
    parsed = oci.parse_manifest(json.dumps(document).encode(), document["mediaType"])
    Manifest.objects.create(
        digest=parsed.digest, media_type=parsed.media_type, size=parsed.size, content=parsed.content
    )
    artifact = Artifact.objects.create(
        **{
            "repository": repository,
            "manifest_id": parsed.digest,
            "media_type": parsed.media_type,
            "config_media_type": parsed.config.media_type if parsed.config else "",
            "artifact_type": parsed.config.media_type if parsed.config else "",
            "kind": artifact_kind(parsed),
            "size": parsed.size + sum(blob.size for blob in parsed.blobs),
            "subject_digest": subject.digest if subject else "",
            **facts,
        }
    )
    _refer(artifact, parsed)
    if subject is not None:
        Accessory.objects.create(
            artifact=artifact,
            repository=repository,
            subject_digest=subject.digest,
            kind=accessory_kind(parsed, ""),
        )
    for name in tags:
        make_tag(artifact, name)
    return artifact


def _refer(artifact: Artifact, parsed: oci.Manifest) -> None:
    kind = Reference.Kind
    descriptors = [(kind.SELF, 0, oci.Descriptor(parsed.media_type, parsed.digest, parsed.size))]
    descriptors += [(kind.CONFIG if n == 0 else kind.LAYER, n, blob) for n, blob in enumerate(parsed.blobs)]
    descriptors += [(kind.CHILD, n, child) for n, child in enumerate(parsed.children)]
    Reference.objects.bulk_create(
        Reference(
            repository=artifact.repository,
            artifact=artifact,
            kind=what,
            position=position,
            digest=descriptor.digest,
            size=descriptor.size,
            media_type=descriptor.media_type,
            descriptor={
                **({"platform": descriptor.platform} if descriptor.platform else {}),
                **({"annotations": descriptor.annotations} if descriptor.annotations else {}),
            },
        )
        for what, position, descriptor in descriptors
    )


def _descriptor(media_type: str, content: str) -> dict[str, Any]:
    digest = "sha256:" + hashlib.sha256(content.encode()).hexdigest()
    return {"mediaType": media_type, "digest": digest, "size": len(content)}


@cache
def _hashed() -> str:
    """Made once: a password's hash is slow on purpose."""
    return make_password(PASSWORD)
