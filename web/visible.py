"""What a page may show: absent and forbidden look alike."""

from __future__ import annotations

from django.http import Http404, HttpRequest

from core import configuration, errors
from projects import reach
from projects.models import Project, Repository
from projects.reach import Reach
from rbac.access import Actor, allowed, allowed_for_tags
from rbac.models import Anonymous, User


def actor_of(request: HttpRequest) -> Actor:
    return request.user if isinstance(request.user, User) else Anonymous()


def project_or_404(request: HttpRequest, name: str, resource: str, action: str = "list") -> Project:
    """The project, if the visitor may list this resource there, be it only within `reach_of`."""
    project = Project.objects.live().filter(name=name).first()
    if project is None or not allowed_for_tags(actor_of(request), resource, action, project):
        raise Http404
    return project


def may_change(request: HttpRequest, project: Project, resource: str, action: str = "update") -> bool:
    """Whether a page offers to do this."""
    return allowed(actor_of(request), resource, action, project) and not configuration.get("read_only")


def refuse_unless_allowed(request: HttpRequest, project: Project, resource: str, action: str) -> None:
    """Forbidden to who sees a page and may not do this there."""
    if not allowed(actor_of(request), resource, action, project):
        raise errors.Forbidden


def refuse_in_read_only_mode() -> None:
    """ReadOnly while nobody may change anything."""
    if configuration.get("read_only"):
        raise errors.ReadOnly


def repository_or_404(request: HttpRequest, project_name: str, name: str) -> tuple[Repository, Reach]:
    """The repository, and what of it the visitor may see."""
    project = project_or_404(request, project_name, "artifact")
    within = reach_of(request, project)
    repository: Repository | None = (
        Repository.objects.live().filter(project=project, name=f"{project_name}/{name}").first()
    )
    if repository is None or not within.has_repository(repository):
        raise Http404
    repository.project = project
    return repository, within


def reach_of(request: HttpRequest, project: Project) -> Reach:
    return reach.of(actor_of(request), project)
