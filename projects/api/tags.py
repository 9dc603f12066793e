"""Tags of an artifact, as in Harbor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from core import errors
from core.api import json
from core.api.forms import Form, Text
from core.api.operations import operation
from projects import immutability, tags
from projects.api import answers
from projects.api.parents import InProject
from projects.immutability import Immutability
from projects.models import Repository, Tag


class NewTag(Form):
    name = Text()


def as_json(tag: Tag) -> dict[str, Any]:
    """Harbor's Tag; immutable is one of which `judge` has said so."""
    return {
        "id": tag.pk,
        "repository_id": tag.repository_id,
        "artifact_id": tag.artifact_id,
        "name": tag.name,
        "push_time": json.time(tag.pushed),
        "pull_time": json.time(tag.pulled),
        "immutable": vars(tag).get("is_immutable", False),
    }


def judge(tags: Sequence[Tag], rules: Immutability, repository: Repository) -> Sequence[Tag]:
    """Note of each of these tags of a repository whether the project's rules cover it."""
    for tag in tags:
        vars(tag)["is_immutable"] = rules.covers(repository.name_in_project, tag.name)
    return tags


class Tags(InProject):
    """The tags of one artifact."""

    resource = "tag"
    honours_tag_scope = True
    filter_fields = {"name": "name", "push_time": "pushed", "pull_time": "pulled"}
    default_sort = ("-pushed", "-pk")

    @operation("List an artifact's tags", lists=answers.Tag, query={"with_immutable_status": bool})
    def list(self, request: Request, **_: Any) -> Response:
        artifact = self.get_artifact()
        place = artifact.repository
        rows = self.reach.tags(Tag.objects.live().filter(artifact=artifact), place)
        if not self.asked("with_immutable_status"):
            return self.listing(rows, as_json)
        rules = immutability.of(self.get_project())
        return self.listing(rows, as_json, lambda page: judge(page, rules, place))

    @operation("Create a tag", body=NewTag, status=201, refuses=(409, 412))
    def create(self, request: Request, **_: Any) -> Response:
        tag = tags.create(artifact=self.get_artifact(), name=self.body(NewTag)["name"], actor=self.actor)
        return self.created(tag.name)

    @operation("Delete a tag", refuses=(412,))
    def destroy(self, request: Request, **_: Any) -> Response:
        wanted = self.kwargs["tag_name"]
        tag = Tag.objects.live().filter(artifact=self.get_artifact(), name=wanted).first()
        if tag is None:
            raise errors.NotFound(f"tag {wanted} not found on this artifact")
        tags.delete(tag=tag, actor=self.actor)
        return self.done()
