"""One prepared statement answers most HEADs of blobs: what the mirror of the registry's links says (invariant I14)."""

from __future__ import annotations

from dataclasses import dataclass

from core.oci import RepositoryName
from core.postgres.prepared import Statement
from projects import links

# A repository counts while its first push is under way too, so it is found through its project.
_BLOB = Statement(
    "text, text, text, interval",
    """
    WITH repository AS MATERIALIZED (
        SELECT id, project_id FROM projects_repository
        WHERE project_id = (SELECT id FROM projects_project WHERE name = $1 AND deleted IS NULL) AND name = $2
    ), blob AS MATERIALIZED (
        SELECT id, size FROM projects_blob WHERE digest = $3 AND state = 'present'
    )
    SELECT (SELECT project_id FROM repository), (SELECT size FROM blob), link.touched < now() - $4
    FROM projects_repositoryblob link
    WHERE link.repository_id = (SELECT id FROM repository) AND link.blob_id = (SELECT id FROM blob)
      AND link.kind = 'layer' AND link.state = 'present'
    """,
)


@dataclass(frozen=True)
class Present:
    """A blob that a repository has, link and data."""

    project_id: int
    size: int
    is_due: bool
    """Not touched for so long that a client who counts on it should do that."""


def look_up(repository: RepositoryName, digest: str) -> Present | None:
    """The blob, or None: it may be there all the same, only nobody asked the registry yet."""
    row = _BLOB.row(repository.project, str(repository), digest, links.GRACE / 4)
    return Present(*row) if row else None
