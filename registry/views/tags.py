"""A repository's tags, sorted by bytes, in pages."""

from __future__ import annotations

from django.http import HttpResponse, JsonResponse

from core import errors
from projects.models import Tag
from registry.operation import Operation
from registry.views import paging


def names(operation: Operation) -> HttpResponse:
    """`{"name", "tags"}`; NameUnknown for a repository without artifacts."""
    repository = operation.repository
    if repository.deleted is not None:
        raise errors.NameUnknown(f"repository {repository.name} not found")
    size = paging.page_size(operation.request)
    last = operation.request.GET.get("last", "").replace("\0", "")
    rows = Tag.objects.live().filter(repository=repository, name__gt=last)
    found = list(operation.reach.tags(rows, repository).order_by("name").values_list("name", flat=True)[: size + 1])
    response = JsonResponse({"name": repository.name, "tags": found[:size]})
    if len(found) > size > 0:
        paging.add_link(response, operation.request, size=size, last=found[size - 1])
    return response
