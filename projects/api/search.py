"""GET /search, as in Harbor: projects and repositories by a part of their name."""

from __future__ import annotations

from typing import Any, Required

from rest_framework.request import Request
from rest_framework.response import Response

from core.api import json
from core.api.operations import operation
from core.api.resource import Resource
from projects import search
from projects.api import answers, projects, repositories
from projects.models import Repository
from rbac.authentication import actor_of
from rbac.permissions import EVERYBODY


def as_json(repository: Repository) -> dict[str, Any]:
    """Harbor's SearchRepository; the row must come with its project and `artifact_count`."""
    return json.without_empty(
        {
            "project_id": repository.project_id,
            "project_name": repository.project.name,
            "project_public": repository.project.public,
            "repository_name": repository.name,
            "pull_count": repository.pull_count,
            "artifact_count": vars(repository)["artifact_count"],
        }
    )


class Search(Resource):
    """What the caller may list, the closest to the word first; a bounded number, in a fixed number of questions."""

    resource = EVERYBODY

    @operation("Search for projects and repositories", gives=answers.Found, query={"q": Required[str]})
    def list(self, request: Request) -> Response:
        word, actor = self.required("q"), actor_of(request)
        found = projects.completed(search.projects(word=word, actor=actor), actor)
        rows = repositories.completed(search.repositories(word=word, actor=actor), actor)
        return Response(
            {"project": [projects.as_json(row) for row in found], "repository": [as_json(row) for row in rows]}
        )
