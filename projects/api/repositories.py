"""Repositories, as in Harbor."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from core.api import json
from core.api.forms import Form, Text
from core.api.operations import operation
from core.api.resource import Resource
from projects import reach, repositories
from projects.api import answers
from projects.api.parents import InProject
from projects.models import Repository
from projects.models.repository import RepositoryQuerySet
from rbac.access import Actor
from rbac.authentication import actor_of
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


def completed(rows: list[Repository], actor: Actor) -> list[Repository]:
    """Give each row the number of artifacts that the actor reaches; rows come with their project."""
    reach.recount_artifacts(rows, actor)
    return rows


class AllRepositories(Resource):
    """Every repository that the caller may list."""

    resource = EVERYBODY
    filter_fields = FILTER_FIELDS
    default_sort = NEWEST_FIRST

    @operation("List all repositories that the caller may see", lists=answers.Repository)
    def list(self, request: Request) -> Response:
        actor = actor_of(request)
        rows = reach.listable_repositories(actor).select_related("project").with_artifact_count()
        return self.listing(rows, as_json, lambda page: completed(page, actor))


class Repositories(InProject):
    """A project's repositories."""

    resource = "repository"
    honours_tag_scope = True
    filter_fields = FILTER_FIELDS
    default_sort = NEWEST_FIRST

    @operation("List a project's repositories", lists=answers.Repository)
    def list(self, request: Request, **_: Any) -> Response:
        rows = self.reach.repositories(Repository.objects.live().filter(project=self.get_project()))
        return self.listing(self._with_details(rows), as_json, lambda page: completed(page, self.actor))

    @operation("Read a repository", gives=answers.Repository)
    def retrieve(self, request: Request, **_: Any) -> Response:
        row = self._with_details(Repository.objects.filter(pk=self.get_repository().pk)).get()
        return Response(as_json(completed([row], self.actor)[0]))

    @operation("Describe a repository", body=Description)
    def update(self, request: Request, **_: Any) -> Response:
        repository = self.get_repository()
        text = self.body(Description)["description"]
        repositories.describe(repository=repository, description=text, actor=self.actor)
        return self.done()

    @operation("Delete a repository with all its artifacts", refuses=(412,))
    def destroy(self, request: Request, **_: Any) -> Response:
        repositories.delete(repository=self.get_repository(), actor=self.actor)
        return self.done()

    def _with_details(self, rows: RepositoryQuerySet) -> RepositoryQuerySet:
        return rows.select_related("project").with_artifact_count()
