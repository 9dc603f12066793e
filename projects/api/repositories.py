"""Repositories, as in Harbor."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework.request import Request
from rest_framework.response import Response

from core.api import json
from core.api.forms import Form, Text
from core.api.resource import Resource
from projects import repositories
from projects.api.parents import InProject
from projects.models import Project, Repository
from rbac.access import Actor, allowed
from rbac.authentication import actor_of
from rbac.models import Robot
from rbac.permissions import EVERYBODY

FILTER_FIELDS = {
    "name": "name",
    "repository_id": "id",
    "project_id": "project_id",
    "creation_time": "created",
    "update_time": "updated",
    "pull_count": "pull_count",
}
NEWEST_FIRST = ("-created", "-pk")


class Description(Form):
    description = Text(max_length=65536, default="")


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


class AllRepositories(Resource):
    """Every repository that the caller may list."""

    resource = EVERYBODY
    filter_fields = FILTER_FIELDS
    default_sort = NEWEST_FIRST

    def list(self, request: Request) -> Response:
        rows = Repository.objects.live().filter(project__in=_listable(actor_of(request)))
        return self.listing(rows.with_artifact_count(), as_json)


class Repositories(InProject):
    """A project's repositories."""

    resource = "repository"
    filter_fields = FILTER_FIELDS
    default_sort = NEWEST_FIRST

    def list(self, request: Request, **_: Any) -> Response:
        return self.listing(Repository.objects.live().filter(project=self.get_project()).with_artifact_count(), as_json)

    def retrieve(self, request: Request, **_: Any) -> Response:
        return Response(as_json(Repository.objects.filter(pk=self.get_repository().pk).with_artifact_count().get()))

    def update(self, request: Request, **_: Any) -> Response:
        repository = self.get_repository()
        repositories.describe(repository=repository, description=self.body(Description)["description"])
        return self.done()

    def destroy(self, request: Request, **_: Any) -> Response:
        repositories.delete(repository=self.get_repository(), actor=self.actor)
        return self.done()


def _listable(actor: Actor) -> QuerySet[Project] | list[int]:
    """Projects whose repositories an actor may list: every role may, a robot only where its list says so."""
    visible: QuerySet[Project] = Project.objects.visible_to(actor)
    if not isinstance(actor, Robot):
        return visible
    return [project.pk for project in visible if allowed(actor, "repository", "list", project)]
