"""Projects: made, changed, deleted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from django.db import transaction

from core import clock, configuration, errors, locks, oci
from core.constraints import refuse_duplicates
from core.cve_allowlist import Entries
from core.events import SYSTEM, emit
from projects import cve_allowlists, links, quotas
from projects import metadata as project_metadata
from projects.events import ProjectCreated, ProjectDeleted, ProjectUpdated
from projects.models import ImmutableRule, Label, Member, Project, ProjectCveAllowlist, Quota, Repository
from rbac import robots
from rbac.access import Actor, allowed
from rbac.models import User
from rbac.roles import Role


def create(
    *,
    name: str,
    public: bool = False,
    metadata: Mapping[str, str],
    storage_limit: int | None,
    cve_allowlist: Entries | None = None,
    actor: Actor,
) -> Project:
    """A new project with its maker as project admin. Conflict when the name is taken or still being freed.

    What a robot makes belongs to the first system admin. Only system admins and robots of the system choose the
    storage limit; `public` counts when the metadata do not say it.
    """
    _check_name(name)
    owner = _owner(actor)
    kept = project_metadata.checked({"public": str(public), **metadata})
    is_public = kept.pop("public") == "true"
    made = Project(name=name, owner=owner, public=is_public, metadata=kept, created=clock.now())
    return _save_new(made, limit=_limit(storage_limit, actor), maker=actor.name, cve_allowlist=cve_allowlist)


def create_for(*, name: str, owner: User) -> Project:
    """A new private project that the platform itself makes for somebody; errors as of `create`."""
    _check_name(name)
    return _save_new(
        Project(name=name, owner=owner, created=clock.now()),
        limit=int(configuration.get("storage_per_project")),
        maker=SYSTEM,
    )


def update(
    *, project: Project, metadata: Mapping[str, str], cve_allowlist: Entries | None = None, actor: Actor
) -> None:
    """Change what is given; metadata are merged key by key, the allowlist replaced. BadRequest for what cannot be."""
    project_metadata.check_retention(metadata, project.name)
    kept = project_metadata.checked(metadata)
    with _metadata_of(project, actor) as known:
        known.update(kept)
        if cve_allowlist is not None:
            cve_allowlists.replace(project=project, entries=cve_allowlist)


def add_metadata(*, project: Project, key: str, value: str, actor: Actor) -> None:
    """Say something that is not said yet. BadRequest for what cannot be, Conflict for a key that is there."""
    kept = project_metadata.checked_one(key, value)
    with _metadata_of(project, actor) as known:
        if key in known:
            raise errors.Conflict(f"the project {project.name} has {key} already")
        known[key] = kept


def set_metadata(*, project: Project, key: str, value: str, actor: Actor) -> None:
    """Change one key. BadRequest for what cannot be, NotFound for a key that is not there."""
    kept = project_metadata.checked_one(key, value)
    with _metadata_of(project, actor) as known:
        _check_said(project, key, known)
        known[key] = kept


def delete_metadata(*, project: Project, key: str, actor: Actor) -> None:
    """Say no more about a key; a project that is not said to be public is private. NotFound as of `set_metadata`."""
    with _metadata_of(project, actor) as known:
        _check_said(project, key, known)
        del known[key]


def delete(*, project: Project, actor: Actor) -> None:
    """Delete an empty project; its name is free again once the registry's links are gone."""
    with transaction.atomic():
        row = Project.objects.live().select_for_update(of=("self",)).filter(pk=project.pk).first()
        if row is None:
            raise errors.NotFound(f"project {project.name} not found")
        # A following statement: what was pushed before the lock was ours counts.
        if reason := why_not_deletable(row):
            raise errors.Precondition(reason)
        row.deleted = clock.now()
        row.save(update_fields=["deleted"])
        row.members.all().delete()
        ProjectCveAllowlist.objects.filter(project=row).delete()
        Label.objects.filter(project=row).delete()
        ImmutableRule.objects.filter(project=row).delete()
        robots.forget_project(project_id=row.pk, name=row.name)
        emit(ProjectDeleted(actor=actor.name, project_id=row.pk, project=row.name))
    try:
        links.remove_links_of(project=row, seconds=links.WAIT_SECONDS)
    except errors.Unavailable:
        # The project is deleted all the same; housekeeping finishes it, and the name waits.
        return


def hold_name(name: str) -> None:
    """Nobody else makes a project of this name until the caller's transaction ends."""
    locks.wait_in_transaction(f"project name {name}")


@contextmanager
def held(project: Project) -> Iterator[Project]:
    """A transaction in which the project cannot be deleted; gives its row as it is now. NotFound when it is gone."""
    with transaction.atomic():
        row = Project.objects.live().select_for_update(of=("self",), no_key=True).filter(pk=project.pk).first()
        if row is None:
            raise errors.NotFound(f"project {project.name} not found")
        yield row


def why_not_deletable(project: Project) -> str:
    """Why a project cannot be deleted; empty when it can."""
    if Repository.objects.live().filter(project=project).exists():
        return "the project contains repositories, can not be deleted"
    return ""


def first_admin() -> User:
    """The system admin who owns what nobody in particular made; Precondition when there is none."""
    admin: User | None = User.objects.live().filter(is_sysadmin=True).order_by("pk").first()
    if admin is None:
        raise errors.Precondition("there is no system admin who could own the project")
    return admin


@contextmanager
def _metadata_of(project: Project, actor: Actor) -> Iterator[dict[str, str]]:
    """All metadata of a project as they are now, for the caller to change in place; then they are the project's."""
    with held(project) as row:
        known = row.all_metadata
        yield known
        row.public = known.pop("public", "false") == "true"
        row.metadata = known
        row.save(update_fields=["public", "metadata", "updated"])
        emit(ProjectUpdated(actor=actor.name, project_id=row.pk, project=row.name))


def _check_said(project: Project, key: str, known: Mapping[str, str]) -> None:
    if key not in known:
        raise errors.NotFound(f"the project {project.name} has no {key[:40]}")


def _check_name(name: str) -> None:
    if not oci.is_project_name(name):
        raise errors.BadRequest(
            f"the project name {name[:80]!r} is not valid: 1 to 255 lower-case letters and digits, "
            "separated by single '.', '_' or '-'"
        )


def _save_new(project: Project, *, limit: int, maker: str, cve_allowlist: Entries | None = None) -> Project:
    links.wait_for_removal(project_name=project.name)
    with transaction.atomic():
        hold_name(project.name)
        with refuse_duplicates(project_name_live=f"The project named {project.name} already exists"):
            project.save()
        Member.objects.create(project=project, user=project.owner, role=Role.PROJECT_ADMIN)
        Quota.objects.create(project=project, hard=limit)
        if cve_allowlist is not None:
            cve_allowlists.replace(project=project, entries=cve_allowlist)
        emit(ProjectCreated(actor=maker, project_id=project.pk, project=project.name))
    return project


def _owner(actor: Actor) -> User:
    if isinstance(actor, User):
        if configuration.get("project_creation_restriction") == "adminonly" and not actor.is_sysadmin:
            raise errors.Forbidden("Only system admin can create project")
        return actor
    if not allowed(actor, "project", "create"):
        raise errors.Forbidden("Only system level robot can create project")
    return first_admin()


def _limit(wanted: int | None, actor: Actor) -> int:
    if not wanted or not allowed(actor, "project", "create"):
        return int(configuration.get("storage_per_project"))
    return quotas.checked(wanted)
