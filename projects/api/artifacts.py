"""Artifacts of a repository or of a whole project, as in Harbor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Required

from django.db.models import Count, Exists, OuterRef, Prefetch, QuerySet, Subquery, Value, prefetch_related_objects
from django.db.models.functions import Coalesce, NullIf
from rest_framework.request import Request
from rest_framework.response import Response

from core import errors
from core.api import json
from core.api.operations import operation
from core.api.query import AllOf, Condition, Exact, as_q, conditions, normalised
from core.oci import RepositoryName
from projects import artifacts, copies, immutability, repositories
from projects.api import additions, answers
from projects.api import copies as copies_api
from projects.api import labels as labels_api
from projects.api import tags as tags_api
from projects.api.icons import add_icons
from projects.api.parents import NUMBER, InProject
from projects.models import Accessory, Artifact, ArtifactLabel, Label, Reference, Repository, Tag
from rbac.access import allowed
from rbac.permissions import or_refuse

PLATFORM = ("architecture", "os", "os.version", "os.features", "variant")

_WITH = {"with_tag": bool, "with_immutable_status": bool, "with_label": bool, "with_accessory": bool}


def as_json(artifact: Artifact) -> dict[str, Any]:
    """Harbor's Artifact; the row must have been completed."""
    known = vars(artifact)
    document = json.without_empty(
        {
            "id": artifact.pk,
            "type": artifact.kind,
            # Of an index its own, for it has no configuration.
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
            "icon": known.get("my_icon"),
            "references": known.get("my_references"),
            "addition_links": additions.links(artifact),
        }
    )
    # Harbor writes null, not nothing, when there is none.
    document["tags"] = [tags_api.as_json(tag) for tag in known.get("my_tags", ())] or None
    document["accessories"] = known.get("my_accessories") or None
    document["labels"] = [labels_api.as_json(label) for label in known.get("my_labels", ())] or None
    return document


def _with_tags(view: ArtifactLists, rows: QuerySet[Artifact], condition: Condition) -> QuerySet[Artifact]:
    """`tags=*` tagged, `tags=nil` untagged, else what its tags are called; tags out of reach are none."""
    tags = view.tags().filter(artifact=OuterRef("pk"))
    match condition:
        case Exact("*"):
            return rows.filter(Exists(tags))
        case Exact("nil"):
            return rows.filter(~Exists(tags))
    return rows.filter(Exists(tags.filter(as_q(Tag, "name", "tags", condition))))


def _with_labels(view: ArtifactLists, rows: QuerySet[Artifact], condition: Condition) -> QuerySet[Artifact]:
    """`labels=(1 2)`: those that bear all of these labels, named by their ids."""
    if not isinstance(condition, AllOf) or not all(NUMBER.fullmatch(value) for value in condition.values):
        raise errors.BadRequest('the value of "labels" query can only be integer list with AND relationship, as (1 2)')
    wanted = {int(value) for value in condition.values}
    within = {f"artifact__{key}": value for key, value in view.within().items()}
    uses = ArtifactLabel.objects.filter(label__in=view.labels(), **within)
    bearing = uses.filter(label__in=wanted).values("artifact").annotate(number=Count("pk"))
    return rows.filter(pk__in=bearing.filter(number=len(wanted)).values("artifact"))


class ArtifactLists(InProject):
    """Artifacts within a repository, or a whole project: no accessories, and parts of an index only when tagged."""

    resource = "artifact"
    honours_tag_scope = True
    filter_fields = {
        "id": "id",
        "digest": "manifest__digest",
        "type": "kind",
        "media_type": "shown_media_type",
        "manifest_media_type": "media_type",
        "artifact_type": "artifact_type",
        "size": "size",
        "push_time": "pushed",
        "pull_time": "pulled",
        "tags": _with_tags,
        "labels": _with_labels,
    }
    default_sort = ("-pushed", "-pk")

    def place(self) -> Repository | None:
        """The one repository that it is about; None for the whole project."""
        return None

    def within(self) -> dict[str, Any]:
        """The same as a condition on rows that name their repository."""
        place = self.place()
        return {"repository": place} if place else {"repository__project": self.get_project()}

    def rows(self) -> QuerySet[Artifact]:
        """What is listed, within the caller's reach. `q=base=*` asks for untagged parts of indexes too."""
        everything = conditions(self.request).get("base") == Exact("*")
        found = Artifact.objects.live().filter(accessory_of__isnull=True) if everything else self._listed()
        rows = self.reach.artifacts(found.filter(**self.within()), self.place())
        return rows.alias(shown_media_type=Coalesce(NullIf("config_media_type", Value("")), "media_type"))

    def tags(self) -> QuerySet[Tag]:
        """The live tags that the caller may see."""
        return self.reach.tags(Tag.objects.live().filter(**self.within()), self.place())

    def labels(self) -> QuerySet[Label]:
        """The labels that the caller may see on artifacts: none for who is limited to some tags."""
        return Label.objects.none() if self.reach.is_limited else Label.objects.all()

    def completed(self, rows: Sequence[Artifact]) -> Sequence[Artifact]:
        """Give each row what its JSON shows besides its columns, in a fixed number of queries."""
        if place := self.place():
            for row in rows:
                row.repository = place
        _add_references(rows)
        add_icons(rows)
        if self.asked("with_tag", default=True):
            self._add_tags(rows)
        if self.asked("with_label"):
            prefetch_related_objects(rows, Prefetch("labels", self.labels().order_by("pk"), to_attr="my_labels"))
        if self.asked("with_accessory"):
            _add_accessories(rows)
        return rows

    def _add_tags(self, rows: Sequence[Artifact]) -> None:
        prefetch_related_objects(rows, Prefetch("tags", self.tags().order_by("-pushed", "-pk"), to_attr="my_tags"))
        if self.asked("with_immutable_status"):
            rules = immutability.of(self.get_project())
            for row in rows:
                tags_api.judge(vars(row)["my_tags"], rules, row.repository)

    def _listed(self) -> QuerySet[Artifact]:
        return Artifact.objects.listed(self.tags(), self.place())


class Artifacts(ArtifactLists):
    """A repository's artifacts."""

    verbs = {"copy": "create"}

    def place(self) -> Repository:
        return self.get_repository()

    @operation("List a repository's artifacts", lists=answers.Artifact, query=_WITH)
    def list(self, request: Request, **_: Any) -> Response:
        return self.listing(self.rows(), as_json, self.completed)

    @operation("Read an artifact", gives=answers.Artifact, query=_WITH)
    def retrieve(self, request: Request, **_: Any) -> Response:
        return Response(as_json(self.completed([self.get_artifact()])[0]))

    @operation("Delete an artifact with its tags", refuses=(412,))
    def destroy(self, request: Request, **_: Any) -> Response:
        artifacts.delete(artifact=self.get_artifact(), actor=self.actor)
        return self.done()

    @operation("Copy an artifact here", status=201, query={"from": Required[str]}, refuses=(405, 409, 412))
    def copy(self, request: Request, **_: Any) -> Response:
        project = self.get_project()
        or_refuse(request, allowed(self.actor, "repository", "push", project))
        name = RepositoryName.parse(f"{project.name}/{self.kwargs['repository_name']}")
        where, reference = copies_api.parse(self.required("from"))
        source = copies_api.find_source(where, reference, self.actor)
        copies.copy(source=source, repository=repositories.ensure(project=project, name=name), actor=self.actor)
        return self.created(reference)


class ProjectArtifacts(ArtifactLists):
    """All artifacts of a project."""

    def _listed(self) -> QuerySet[Artifact]:
        return Artifact.objects.listed_in_project(self.get_project(), self.tags())

    filter_fields = {
        **ArtifactLists.filter_fields,
        "repository_id": "repository_id",
        "repository_name": "repository__name",
    }

    @operation("List a project's artifacts", lists=answers.Artifact, query={**_WITH, "latest_in_repository": bool})
    def list(self, request: Request, **_: Any) -> Response:
        rows = self.rows().select_related("repository")
        if self.asked("latest_in_repository"):
            rows = rows.filter(pk__in=self._latest(rows))
        return self.listing(rows, as_json, self.completed)

    def _latest(self, rows: QuerySet[Artifact]) -> QuerySet[Artifact, Any]:
        """The newest of each repository, of those of one kind: what else is asked of them counts afterwards."""
        asked = conditions(self.request)
        kinds = [key for key in ("media_type", "artifact_type") if normalised(key) in asked]
        if len(kinds) != 1:
            raise errors.BadRequest(
                "either media_type or artifact_type must be in q, but not both, for latest_in_repository"
            )
        (kind,) = kinds
        of_kind = as_q(Artifact, str(self.filter_fields[kind]), kind, asked[normalised(kind)])
        newest = rows.filter(of_kind).order_by("repository", "-pushed", "-pk").distinct("repository")
        return newest.values("pk")


class Accessories(InProject):
    """What hangs on an artifact."""

    resource = "accessory"
    honours_tag_scope = True
    filter_fields = {
        "type": "kind",
        "digest": "artifact__manifest__digest",
        "size": "artifact__size",
        "creation_time": "artifact__pushed",
    }

    @operation("List what hangs on an artifact", lists=answers.Accessory)
    def list(self, request: Request, **_: Any) -> Response:
        subject = self.get_artifact()
        rows = Accessory.objects.filter(
            repository=subject.repository, subject_digest=subject.digest, artifact__deleted__isnull=True
        ).select_related("artifact")
        return self.listing(rows, lambda accessory: _accessory(subject, accessory))


def _add_references(rows: Sequence[Artifact]) -> None:
    """The parts of each index among the rows."""
    parts = Reference.objects.filter(artifact__in=rows, kind=Reference.Kind.CHILD).order_by("artifact_id", "position")
    child = Artifact.objects.live().filter(repository=OuterRef("repository_id"), manifest=OuterRef("digest"))
    by_parent: dict[int | None, list[dict[str, Any]]] = {}
    for part in parts.annotate(child_id=Subquery(child.values("pk")[:1])):
        by_parent.setdefault(part.artifact_id, []).append(_reference(part))
    for row in rows:
        vars(row)["my_references"] = by_parent.get(row.pk, [])


def _add_accessories(rows: Sequence[Artifact]) -> None:
    """What hangs on each of the rows."""
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
        mine = by_subject.get((row.repository_id, row.digest), [])
        vars(row)["my_accessories"] = [_accessory(row, accessory) for accessory in mine]


def _reference(part: Reference) -> dict[str, Any]:
    platform = part.descriptor.get("platform", {})
    return json.without_empty(
        {
            "parent_id": part.artifact_id,
            "child_id": vars(part)["child_id"],
            "child_digest": part.digest,
            "platform": {key: platform[key] for key in PLATFORM if key in platform},
            "annotations": part.descriptor.get("annotations"),
            "urls": part.descriptor.get("urls"),
        }
    )


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
