"""One prepared statement answers a manifest pull (invariant I4)."""

from __future__ import annotations

from dataclasses import dataclass

from core.oci import Reference
from core.postgres.prepared import Statement

# Step by step, so that the planner has no choice: joined, it went through all artifacts of the repository while the
# tables had no statistics yet, and through all manifests when these were of a time when there were few. Whether a row
# is deleted is asked afterwards: otherwise an index of all live tags looks shorter than it is.
_REPOSITORY = """
WITH repository AS MATERIALIZED (
    SELECT id, project_id FROM projects_repository
    WHERE name = $1 AND deleted IS NULL
      AND (SELECT deleted IS NULL FROM projects_project WHERE id = projects_repository.project_id)
)
"""
_ARTIFACT = "artifact AS MATERIALIZED (SELECT id, digest, deleted FROM projects_artifact WHERE {})"
_MANIFEST = """
SELECT digest, media_type, content, (SELECT id FROM artifact), {tag}, (SELECT project_id FROM repository)
FROM projects_manifest WHERE digest = (SELECT digest FROM artifact WHERE deleted IS NULL)
"""
_BY_TAG = Statement(
    "text, text",
    f"""
    {_REPOSITORY}, tag AS MATERIALIZED (
        SELECT id, artifact_id, deleted FROM projects_tag
        WHERE repository_id = (SELECT id FROM repository) AND name = $2
    ), {_ARTIFACT.format("id = (SELECT artifact_id FROM tag WHERE deleted IS NULL)")}
    {_MANIFEST.format(tag="(SELECT id FROM tag)")}
    """,  # noqa: S608 - of constants only
)
_BY_DIGEST = Statement(
    "text, text",
    f"""
    {_REPOSITORY}, {_ARTIFACT.format("repository_id = (SELECT id FROM repository) AND digest = $2")}
    {_MANIFEST.format(tag="NULL::bigint")}
    """,  # noqa: S608
)


@dataclass(frozen=True)
class Found:
    """What a pull needs to know."""

    digest: str
    media_type: str
    content: bytes
    artifact_id: int
    tag_id: int | None
    project_id: int


def look_up(repository: str, reference: Reference) -> Found | None:
    """The live manifest, or None."""
    by_tag = reference.tag is not None
    row = (_BY_TAG if by_tag else _BY_DIGEST).row(repository, reference.tag if by_tag else reference.digest)
    return Found(row[0], row[1], bytes(row[2]), *row[3:]) if row else None
