"""What a page may show: absent and forbidden look alike."""

from __future__ import annotations

from django.http import Http404, HttpRequest

from projects.models import Project, Repository
from rbac.access import Actor, allowed
from rbac.models import Anonymous, User


def actor_of(request: HttpRequest) -> Actor:
    return request.user if isinstance(request.user, User) else Anonymous()


def project_or_404(request: HttpRequest, name: str, resource: str) -> Project:
    """The project, if the visitor may list this resource there."""
    project = Project.objects.live().filter(name=name).first()
    if project is None or not allowed(actor_of(request), resource, "list", project):
        raise Http404
    return project


def repository_or_404(request: HttpRequest, project_name: str, name: str) -> Repository:
    project = project_or_404(request, project_name, "artifact")
    repository: Repository | None = (
        Repository.objects.live().filter(project=project, name=f"{project_name}/{name}").first()
    )
    if repository is None:
        raise Http404
    repository.project = project
    return repository
