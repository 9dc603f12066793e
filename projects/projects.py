"""Projects: made, changed, deleted."""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from core import configuration, errors, oci
from core.events import emit
from projects import links
from projects.events import ProjectCreated, ProjectDeleted, ProjectUpdated
from projects.models import Member, Project, Quota, Repository
from rbac.access import Actor
from rbac.models import Robot, User
from rbac.roles import Role

# Harbor's keys besides `public`; what they switch on comes with its own room.
METADATA = (
    "enable_content_trust",
    "enable_content_trust_cosign",
    "prevent_vul",
    "severity",
    "auto_scan",
    "auto_sbom_generation",
    "reuse_sys_cve_allowlist",
    "retention_id",
    "proxy_speed_kb",
    "max_upstream_conn",
)


def create(*, name: str, public: bool, metadata: dict[str, str], storage_limit: int | None, actor: Actor) -> Project:
    """A new project with its maker as project admin. Conflict when the name is taken or still being freed."""
    if not oci.is_project_name(name):
        raise errors.BadRequest(
            f"the project name {name[:80]!r} is not valid: 1 to 255 lower-case letters and digits, "
            "separated by single '.', '_' or '-'"
        )
    if not isinstance(actor, User):
        raise errors.Denied("only a user can own a project")
    if configuration.get("project_creation_restriction") == "adminonly" and not actor.is_sysadmin:
        raise errors.Denied("Only system admin can create project")
    links.wait_for_removal(project_name=name)
    limit = (
        storage_limit if storage_limit is not None and actor.is_sysadmin else configuration.get("storage_per_project")
    )
    try:
        with transaction.atomic():
            project = Project.objects.create(name=name, owner=actor, public=public, metadata=metadata)
            Member.objects.create(project=project, user=actor, role=Role.PROJECT_ADMIN)
            Quota.objects.create(project=project, hard=limit)
            emit(ProjectCreated(actor=actor.name, project_id=project.pk, project=name))
    except IntegrityError as error:
        raise errors.Conflict(f"The project named {name} already exists") from error
    return project


def update(*, project: Project, public: bool | None, metadata: dict[str, str], actor: Actor) -> None:
    """Change what is given; metadata are merged key by key."""
    with transaction.atomic():
        row = Project.objects.live().select_for_update(of=("self",), no_key=True).filter(pk=project.pk).first()
        if row is None:
            raise errors.NotFound(f"project {project.name} not found")
        row.public = row.public if public is None else public
        row.metadata = {**row.metadata, **metadata}
        row.save(update_fields=["public", "metadata", "updated"])
        emit(ProjectUpdated(actor=actor.name, project_id=row.pk, project=row.name))


def delete(*, project: Project, actor: Actor) -> None:
    """Delete an empty project; its name is free again once the registry's links are gone."""
    with transaction.atomic():
        row = Project.objects.live().select_for_update(of=("self",)).filter(pk=project.pk).first()
        if row is None:
            raise errors.NotFound(f"project {project.name} not found")
        # A following statement: what was pushed before the lock was ours counts.
        if reason := why_not_deletable(row):
            raise errors.Precondition(reason)
        row.deleted = timezone.now()
        row.save(update_fields=["deleted"])
        row.members.all().delete()
        Robot.objects.filter(project_id=row.pk).delete()
        emit(ProjectDeleted(actor=actor.name, project_id=row.pk, project=row.name))
    try:
        links.remove_links_of(project=row)
    except errors.Unavailable:
        # The project is deleted all the same; housekeeping finishes it, and the name waits.
        return


def why_not_deletable(project: Project) -> str:
    """Why a project cannot be deleted; empty when it can."""
    if Repository.objects.live().filter(project=project).exists():
        return "the project contains repositories, can not be deleted"
    return ""


def check_metadata(given: dict[str, Any]) -> dict[str, str]:
    """The known keys with their values as text (`public` aside); BadRequest for a value that is not text."""
    kept = {key: value for key, value in given.items() if key in METADATA and value is not None}
    for key, value in kept.items():
        if not isinstance(value, str):
            raise errors.BadRequest(f"metadata {key} must be a string")
    return kept
