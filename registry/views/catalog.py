"""The base of the API, and the catalog of repositories that the caller may pull from."""

from __future__ import annotations

from django.db.models import Exists, OuterRef
from django.http import HttpResponse, JsonResponse

from projects.models import Artifact, Project, Repository
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
        Repository.objects.live()
        .filter(Exists(filled), project__in=_pullable(operation.actor()), name__gt=last)
        .order_by("name")
        .values_list("name", flat=True)[: size + 1]
    )
    response = JsonResponse({"repositories": names[:size]})
    if len(names) > size > 0:
        paging.add_link(response, operation.request, size=size, last=names[size - 1])
    return response


def _pullable(actor: Actor) -> list[int]:
    visible = Project.objects.visible_to(actor)
    if not isinstance(actor, Robot):
        # Every role may pull, so what a person may see he may pull from.
        return list(visible.values_list("pk", flat=True))
    return [project.pk for project in visible if allowed(actor, "repository", "pull", project)]
