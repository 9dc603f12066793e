"""The base of the API, and the catalog of repositories that the caller may pull from."""

from __future__ import annotations

from django.db.models import Exists, OuterRef
from django.http import HttpResponse, JsonResponse

from projects import reach
from projects.models import Artifact, Project
from projects.models.repository import RepositoryQuerySet
from rbac.access import Actor, allowed
from rbac.models import Robot
from registry.operation import Operation
from registry.views import paging


def version(operation: Operation) -> HttpResponse:
    """`{}`: the API is here and the token is good."""
    return JsonResponse({})


def repositories(operation: Operation) -> HttpResponse:
    """Names in byte order: only repositories with something in them, only what the caller may pull."""
    size = paging.page_size(operation.request)
    last = operation.request.GET.get("last", "").replace("\0", "")
    filled = Artifact.objects.live().filter(repository=OuterRef("pk"))
    names = list(
        _pullable(operation.actor())
        .filter(Exists(filled), name__gt=last)
        .order_by("name")
        .values_list("name", flat=True)[: size + 1]
    )
    response = JsonResponse({"repositories": names[:size]})
    if len(names) > size > 0:
        paging.add_link(response, operation.request, size=size, last=names[size - 1])
    return response


def _pullable(actor: Actor) -> RepositoryQuerySet:
    rows = reach.visible_repositories(actor)
    if not isinstance(actor, Robot):
        # Every role may pull, so what a person may see he may pull from.
        return rows
    visible = Project.objects.visible_to(actor)
    return rows.filter(project__in=[each.pk for each in visible if allowed(actor, "repository", "pull", each)])
