"""Repositories: made by the first push, deleted, taken over again."""

from __future__ import annotations

from django.db import transaction

from core import clock, errors
from core.events import emit
from core.oci import RepositoryName
from projects import artifacts, finders
from projects.events import RepositoryDeleted, RepositoryUpdated
from projects.models import Project, Repository
from rbac.access import Actor


def delete(*, repository: Repository, actor: Actor) -> None:
    """Delete a repository and everything in it; its blobs stay until garbage collection."""
    with transaction.atomic():
        row = Repository.objects.select_for_update().get(pk=repository.pk)
        if row.deleted is not None:
            raise errors.NotFound(f"repository {row.name} not found")
        artifacts.delete_all(repository=row, actor=actor)
        row.deleted = clock.now()
        row.save(update_fields=["deleted"])
        emit(
            RepositoryDeleted(
                actor=actor.name, project_id=row.project_id, project=row.project.name, repository=row.name
            )
        )


def ensure(*, project: Project, name: RepositoryName) -> Repository:
    """The repository's row, made when missing.

    A new row is not live (it has a deletion time) until its first manifest is recorded: an upload alone
    makes no repository that anybody sees.
    """
    row = finders.repository_of(project, str(name))
    if row is not None:
        return row
    now = clock.now()
    row, _ = Repository.objects.get_or_create(
        project=project, name=str(name), defaults={"created": now, "updated": now, "deleted": now}
    )
    return row


def describe(*, repository: Repository, description: str, actor: Actor) -> None:
    """Set the text that people read about a repository. NotFound when it was deleted meanwhile."""
    rows = Repository.objects.live().filter(pk=repository.pk)
    with transaction.atomic():
        if not rows.update(description=description, updated=clock.now()):
            raise errors.NotFound(f"repository {repository.name} not found")
        emit(
            RepositoryUpdated(
                actor=actor.name,
                project_id=repository.project_id,
                project=repository.project.name,
                repository=repository.name,
            )
        )
