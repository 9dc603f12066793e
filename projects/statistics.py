"""How many projects and repositories there are for somebody, and how much the store holds; counted as Harbor counts."""

from __future__ import annotations

from dataclasses import dataclass, replace

from django.db.models import Sum

from projects import reach
from projects.models import Blob, Project, Repository
from projects.models.project import ProjectQuerySet
from rbac.access import Actor
from rbac.models import User


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """Names are Harbor's. The totals are for system admins: 0 for everybody else; the storage is in bytes."""

    private_project_count: int
    private_repo_count: int
    public_project_count: int
    public_repo_count: int
    total_project_count: int = 0
    total_repo_count: int = 0
    total_storage_consumption: int = 0


def of(actor: Actor) -> Statistics:
    """Everything public, and what is private of the projects that a user is a member of."""
    private = _private_projects(actor)
    public_projects, private_projects = Project.objects.live().filter(public=True).count(), private.count()
    public_repositories = Repository.objects.live().filter(project__public=True).count()
    private_repositories = reach.visible_repositories(actor).filter(project__in=private).count()
    found = Statistics(
        private_project_count=private_projects,
        private_repo_count=private_repositories,
        public_project_count=public_projects,
        public_repo_count=public_repositories,
    )
    if not actor.is_sysadmin:
        return found
    return replace(
        found,
        total_project_count=public_projects + private_projects,
        total_repo_count=public_repositories + private_repositories,
        total_storage_consumption=stored_bytes(),
    )


def stored_bytes() -> int:
    """What the store holds of data that the registry told of: each blob once, however many repositories link to it."""
    held = Blob.objects.exclude(state=Blob.State.ANNOUNCED).aggregate(total=Sum("size"))
    return int(held["total"] or 0)


def _private_projects(actor: Actor) -> ProjectQuerySet:
    live: ProjectQuerySet = Project.objects.live()
    if actor.is_sysadmin:
        return live.filter(public=False)
    if isinstance(actor, User):
        return live.filter(public=False).of_member(actor)
    # Harbor counts no private project for robots, not even their own.
    return live.none()
