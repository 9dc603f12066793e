"""Tags: made, moved and deleted. Rows here are the only tags there are (invariant I1)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from django.db import IntegrityError, transaction

from core import clock, errors, oci
from core.events import emit
from core.postgres.prepared import Statement
from projects.events import TagCreated, TagDeleted
from projects.models import Artifact, Project, Repository, Tag
from rbac.access import Actor

_MOVE = Statement(
    "bigint, bigint, text",
    """
    INSERT INTO projects_tag (repository_id, artifact_id, name, pushed) VALUES ($1, $2, $3, clock_timestamp())
    ON CONFLICT (repository_id, name) WHERE deleted IS NULL
    DO UPDATE SET artifact_id = excluded.artifact_id, pushed = excluded.pushed
    RETURNING id, pushed, pulled
    """,
)


def create(*, artifact: Artifact, name: str, actor: Actor) -> Tag:
    """Give an artifact one more tag. Conflict when the repository has such a tag already."""
    if not oci.is_tag(name):
        raise errors.TagInvalid(detail=name[:200])
    with transaction.atomic():
        # Who deletes the artifact takes the row FOR UPDATE: it cannot go while we tag it.
        row = (
            Artifact.objects.live()
            .select_for_update(of=("self",), no_key=True)
            .select_related("repository__project")
            .filter(pk=artifact.pk)
            .first()
        )
        if row is None or not _project_lives(row.repository.project_id):
            raise errors.NotFound(f"artifact {artifact.digest} not found")
        tag = Tag(repository=row.repository, artifact=row, name=name, pushed=clock.now())
        try:
            with transaction.atomic():
                tag.save()
        except IntegrityError as error:
            raise errors.Conflict(f"tag {name} already exists") from error
        emit(_event(TagCreated, tag, row.repository, row.digest, actor))
        return tag


def move(*, repository: Repository, name: str, artifact: Artifact) -> Tag:
    """Point a tag at an artifact, making the tag when it is new; inside the caller's transaction.

    The tag's row is locked when this returns.
    """
    row = _MOVE.row(repository.pk, artifact.pk, name)
    if row is None:
        raise RuntimeError(f"tag {name} was neither made nor moved")
    number, pushed, pulled = row
    return Tag(id=number, repository=repository, artifact=artifact, name=name, pushed=pushed, pulled=pulled)


def take_over(
    *, repository: Repository, wanted: Mapping[str, tuple[Artifact, datetime]], move: bool = False
) -> set[str]:
    """Make many tags, each with when it was pushed, inside the caller's transaction that holds the artifacts.

    A tag that points elsewhere stays as it is, unless `move`. The names that then point where they should.
    """
    Tag.objects.bulk_create(
        [
            Tag(repository=repository, artifact=artifact, name=name, pushed=pushed)
            for name, (artifact, pushed) in sorted(wanted.items())
        ],
        ignore_conflicts=True,
    )
    rows = Tag.objects.live().select_for_update(of=("self",)).filter(repository=repository, name__in=wanted)
    there = list(rows.order_by("pk"))
    astray = [row for row in there if row.artifact_id != wanted[row.name][0].pk]
    if not move:
        return {row.name for row in there} - {row.name for row in astray}
    for row in astray:
        row.artifact, row.pushed = wanted[row.name]
    Tag.objects.bulk_update(astray, ["artifact", "pushed"])
    return {row.name for row in there}


def delete(*, tag: Tag, actor: Actor) -> None:
    """Delete a tag; its artifact stays. NotFound when somebody was faster."""
    with transaction.atomic():
        row = Tag.objects.live().select_for_update(of=("self",)).filter(pk=tag.pk).first()
        if row is None:
            raise errors.NotFound(f"tag {tag.name} not found")
        row.deleted = clock.now()
        row.save(update_fields=["deleted"])
        repository = Repository.objects.select_related("project").get(pk=row.repository_id)
        emit(_event(TagDeleted, row, repository, row.artifact.digest, actor))


def _project_lives(project_id: int) -> bool:
    return Project.objects.live().filter(pk=project_id).exists()


def _event(
    kind: type[TagCreated] | type[TagDeleted], tag: Tag, repository: Repository, digest: str, actor: Actor
) -> TagCreated | TagDeleted:
    return kind(
        actor=actor.name,
        project_id=repository.project_id,
        project=repository.project.name,
        repository=repository.name,
        digest=digest,
        tag=tag.name,
    )
