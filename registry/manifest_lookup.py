"""One prepared statement answers a manifest pull (invariant I4)."""

from __future__ import annotations

from dataclasses import dataclass

from core.oci import Reference
from core.postgres.prepared import Statement

# Step by step, so that the planner has no choice: as one join it went through all artifacts of the repository while
# the tables had no statistics yet.
_REPOSITORY = """
WITH repository AS MATERIALIZED (
    SELECT id, project_id FROM projects_repository
    WHERE name = $1 AND deleted IS NULL
      AND (SELECT deleted IS NULL FROM projects_project WHERE id = projects_repository.project_id)
)
"""
_SELECT = """
SELECT manifest.digest, manifest.media_type, manifest.content, artifact.id, {tag}, (SELECT project_id FROM repository)
FROM projects_artifact artifact JOIN projects_manifest manifest ON manifest.digest = artifact.digest
"""
_BY_TAG = Statement(
    "text, text",
    f"""
    {_REPOSITORY}, tag AS MATERIALIZED (
        SELECT id, artifact_id FROM projects_tag
        WHERE repository_id = (SELECT id FROM repository) AND name = $2 AND deleted IS NULL
    )
    {_SELECT.format(tag="(SELECT id FROM tag)")}
    WHERE artifact.id = (SELECT artifact_id FROM tag) AND artifact.deleted IS NULL
    """,  # noqa: S608 - of constants only
)
_BY_DIGEST = Statement(
    "text, text",
    f"""
    {_REPOSITORY}
    {_SELECT.format(tag="NULL::bigint")}
    WHERE artifact.repository_id = (SELECT id FROM repository) AND artifact.digest = $2 AND artifact.deleted IS NULL
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
