"""Artifacts of a repository, as in Harbor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import Prefetch, QuerySet
from rest_framework.request import Request
from rest_framework.response import Response

from core.api import json
from projects import artifacts
from projects.api import tags as tags_api
from projects.api.parents import InProject
from projects.models import Accessory, Artifact, Reference, Tag

PLATFORM = ("architecture", "os", "os.version", "os.features", "variant")


def as_json(artifact: Artifact, *, with_tag: bool, with_accessory: bool) -> dict[str, Any]:
    """Harbor's Artifact; the row must come from `prepared`."""
    document = json.without_empty(
        {
            "id": artifact.pk,
            "type": artifact.kind,
            "media_type": artifact.config_media_type or artifact.media_type,
            "manifest_media_type": artifact.media_type,
            "artifact_type": artifact.artifact_type,
            "project_id": artifact.repository.project_id,
            "repository_id": artifact.repository_id,
            "repository_name": artifact.repository.name,
            "digest": artifact.digest,
            "size": artifact.size,
            "push_time": json.time(artifact.pushed),
            "pull_time": json.time(artifact.pulled),
            "extra_attrs": artifact.extra_attrs,
            "annotations": artifact.annotations,
            "references": [_reference(artifact, child) for child in artifact.references.all()],
        }
    )
    # Harbor writes null, not nothing, when there is none.
    document["tags"] = [tags_api.as_json(tag) for tag in artifact.tags.all()] or None if with_tag else None
    if with_accessory:
        found = vars(artifact).get("my_accessories", [])
        document["accessories"] = [_accessory(artifact, accessory) for accessory in found] or None
    return document


def prepared(rows: QuerySet[Artifact]) -> QuerySet[Artifact]:
    """Artifacts with what their JSON shows, in a fixed number of queries."""
    children = Reference.objects.filter(kind=Reference.Kind.CHILD).order_by("position")
    return (
        rows.select_related("repository", "manifest")
        .defer("manifest__content")
        .prefetch_related(
            Prefetch("references", queryset=children),
            Prefetch("tags", queryset=Tag.objects.live().order_by("-pushed", "-pk")),
        )
    )


def with_accessories(rows: Sequence[Artifact]) -> Sequence[Artifact]:
    """Give each row what hangs on it, in one query."""
    found = (
        Accessory.objects.filter(
            repository__in={row.repository_id for row in rows},
            subject_digest__in=[row.digest for row in rows],
            artifact__deleted__isnull=True,
        )
        .select_related("artifact")
        .order_by("pk")
    )
    by_subject: dict[tuple[int, str], list[Accessory]] = {}
    for accessory in found:
        by_subject.setdefault((accessory.repository_id, accessory.subject_digest), []).append(accessory)
    for row in rows:
        vars(row)["my_accessories"] = by_subject.get((row.repository_id, row.digest), [])
    return rows


class Artifacts(InProject):
    """A repository's artifacts: no accessories, and parts of an index only when they are tagged."""

    resource = "artifact"
    filter_fields = {
        "digest": "manifest_id",
        "type": "kind",
        "media_type": "media_type",
        "artifact_type": "artifact_type",
        "size": "size",
        "push_time": "pushed",
        "pull_time": "pulled",
        "tags": "tags__name",
    }
    default_sort = ("-pushed", "-pk")
    queryset = Artifact.objects.none()

    def list(self, request: Request, **_: Any) -> Response:
        rows = prepared(Artifact.objects.listed().filter(repository=self.get_repository()))
        page = self.paginate_queryset(self.filter_queryset(rows)) or []
        return self.get_paginated_response(self._render(list(page)))

    def retrieve(self, request: Request, **_: Any) -> Response:
        row = prepared(Artifact.objects.filter(pk=self.get_artifact().pk)).get()
        return Response(self._render([row])[0])

    def destroy(self, request: Request, **_: Any) -> Response:
        artifacts.delete(artifact=self.get_artifact(), actor=self.actor)
        return Response(status=200)

    def _render(self, rows: Sequence[Artifact]) -> Sequence[dict[str, Any]]:
        query = self.request.query_params
        with_accessory = json.is_true(query.get("with_accessory"))
        if with_accessory:
            with_accessories(rows)
        with_tag = json.is_true(query.get("with_tag", "true"))
        return [as_json(row, with_tag=with_tag, with_accessory=with_accessory) for row in rows]


class Accessories(InProject):
    """What hangs on an artifact."""

    resource = "accessory"
    filter_fields = {"type": "kind", "digest": "artifact__manifest_id"}
    default_sort = ("pk",)
    queryset = Accessory.objects.none()

    def list(self, request: Request, **_: Any) -> Response:
        subject = self.get_artifact()
        rows = Accessory.objects.filter(
            repository=subject.repository, subject_digest=subject.digest, artifact__deleted__isnull=True
        ).select_related("artifact")
        page = self.paginate_queryset(self.filter_queryset(rows)) or []
        return self.get_paginated_response([_accessory(subject, accessory) for accessory in page])


def _reference(artifact: Artifact, child: Reference) -> dict[str, Any]:
    platform = child.descriptor.get("platform", {})
    return {
        "parent_id": artifact.pk,
        "child_digest": child.digest,
        "platform": {key: platform[key] for key in PLATFORM if key in platform},
        "annotations": child.descriptor.get("annotations") or None,
    }


def _accessory(subject: Artifact, accessory: Accessory) -> dict[str, Any]:
    return {
        "id": accessory.pk,
        "artifact_id": accessory.artifact_id,
        "subject_artifact_id": subject.pk,
        "subject_artifact_digest": accessory.subject_digest,
        "subject_artifact_repo": subject.repository.name,
        "size": accessory.artifact.size,
        "digest": accessory.artifact.digest,
        "type": accessory.kind,
        "icon": "",
        "creation_time": json.time(accessory.artifact.pushed),
    }
