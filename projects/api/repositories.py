"""Repositories, as in Harbor."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from core.api import json
from core.api.text import Text
from projects import repositories
from projects.api.parents import InProject
from projects.models import Project, Repository
from rbac.access import allowed
from rbac.authentication import actor_of
from rbac.models import Robot
from rbac.permissions import EVERYBODY

FILTER_FIELDS = {
    "name": "name",
    "repository_id": "pk",
    "project_id": "project_id",
    "creation_time": "created",
    "update_time": "updated",
    "pull_count": "pull_count",
}
NEWEST_FIRST = ("-created", "-pk")


class Description(serializers.Serializer[Any]):
    description = Text(max_length=65536, required=False, allow_blank=True, default="")


def as_json(repository: Repository) -> dict[str, Any]:
    """Harbor's Repository; the row must come from `with_artifact_count`."""
    return json.without_empty(
        {
            "id": repository.pk,
            "project_id": repository.project_id,
            "name": repository.name,
            "description": repository.description,
            "artifact_count": vars(repository).get("artifact_count") or 0,
            "pull_count": repository.pull_count,
            "creation_time": json.time(repository.created),
            "update_time": json.time(repository.updated),
        },
        keep=("artifact_count", "pull_count"),
    )


class AllRepositories(GenericViewSet[Repository]):
    """Every repository that the caller may know of."""

    resource = EVERYBODY
    filter_fields = FILTER_FIELDS
    default_sort = NEWEST_FIRST
    queryset = Repository.objects.none()

    def list(self, request: Request) -> Response:
        actor = actor_of(request)
        visible = Project.objects.visible_to(actor)
        if isinstance(actor, Robot):
            visible = [project.pk for project in visible if allowed(actor, "repository", "list", project)]  # type: ignore[assignment]
        rows = Repository.objects.live().filter(project__in=visible).with_artifact_count()
        page = self.paginate_queryset(self.filter_queryset(rows)) or []
        return self.get_paginated_response([as_json(row) for row in page])


class Repositories(InProject):
    """A project's repositories."""

    resource = "repository"
    filter_fields = FILTER_FIELDS
    default_sort = NEWEST_FIRST
    queryset = Repository.objects.none()

    def list(self, request: Request, **_: Any) -> Response:
        rows = Repository.objects.live().filter(project=self.get_project()).with_artifact_count()
        page = self.paginate_queryset(self.filter_queryset(rows)) or []
        return self.get_paginated_response([as_json(row) for row in page])

    def retrieve(self, request: Request, **_: Any) -> Response:
        return Response(as_json(Repository.objects.filter(pk=self.get_repository().pk).with_artifact_count().get()))

    def update(self, request: Request, **_: Any) -> Response:
        form = Description(data=request.data)
        form.is_valid(raise_exception=True)
        repositories.describe(repository=self.get_repository(), description=form.validated_data["description"])
        return Response(status=200)

    def destroy(self, request: Request, **_: Any) -> Response:
        repositories.delete(repository=self.get_repository(), actor=self.actor)
        return Response(status=200)
