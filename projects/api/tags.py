"""Tags of an artifact, as in Harbor."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from core import errors
from core.api import json
from core.api.text import Text
from projects import tags
from projects.api.parents import InProject
from projects.models import Tag


class NewTag(serializers.Serializer[Any]):
    name = Text(max_length=1024)


def as_json(tag: Tag) -> dict[str, Any]:
    """Harbor's Tag."""
    return {
        "id": tag.pk,
        "repository_id": tag.repository_id,
        "artifact_id": tag.artifact_id,
        "name": tag.name,
        "push_time": json.time(tag.pushed),
        "pull_time": json.time(tag.pulled),
        "immutable": False,
    }


class Tags(InProject):
    """The tags of one artifact."""

    resource = "tag"
    filter_fields = {"name": "name", "push_time": "pushed", "pull_time": "pulled"}
    default_sort = ("-pushed", "-pk")
    queryset = Tag.objects.none()

    def list(self, request: Request, **_: Any) -> Response:
        rows = Tag.objects.live().filter(artifact=self.get_artifact())
        page = self.paginate_queryset(self.filter_queryset(rows)) or []
        return self.get_paginated_response([as_json(tag) for tag in page])

    def create(self, request: Request, **_: Any) -> Response:
        form = NewTag(data=request.data)
        form.is_valid(raise_exception=True)
        tag = tags.create(artifact=self.get_artifact(), name=form.validated_data["name"], actor=self.actor)
        return Response(status=201, headers={"Location": f"{request.path}/{tag.name}"})

    def destroy(self, request: Request, **_: Any) -> Response:
        wanted = self.kwargs["tag_name"]
        tag = Tag.objects.live().filter(artifact=self.get_artifact(), name=wanted).first()
        if tag is None:
            raise errors.NotFound(f"tag {wanted} not found on this artifact")
        tags.delete(tag=tag, actor=self.actor)
        return Response(status=200)
