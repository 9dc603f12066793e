"""One prepared statement answers most HEADs of blobs: what the mirror of the registry's links says (invariant I14)."""

from __future__ import annotations

from dataclasses import dataclass

from core.oci import RepositoryName
from core.postgres.prepared import Statement
from projects import links
from projects.models import Blob, RepositoryBlob

# A repository counts while its first push is under way too, so it is found through its project.
_BLOB = Statement(
    "text, text, text, interval",
    """
    WITH repository AS MATERIALIZED (
        SELECT id, project_id FROM projects_repository
        WHERE project_id = (SELECT id FROM projects_project WHERE name = $1 AND deleted IS NULL) AND name = $2
    ), blob AS MATERIALIZED (
        SELECT id, size, state FROM projects_blob WHERE digest = $3
    )
    SELECT (SELECT project_id FROM repository), link.state, (SELECT state FROM blob), (SELECT size FROM blob),
           link.touched < now() - $4
    FROM projects_repositoryblob link
    WHERE link.repository_id = (SELECT id FROM repository) AND link.blob_id = (SELECT id FROM blob)
      AND link.kind = 'layer'
    """,
)


@dataclass(frozen=True)
class Found:
    """A link of a repository's and the blob it leads to."""

    project_id: int
    link_state: str
    blob_state: str
    size: int | None
    is_due: bool
    """Not touched for so long that a client who counts on it should do that."""

    @property
    def is_present(self) -> bool:
        return (self.link_state, self.blob_state) == (RepositoryBlob.State.PRESENT, Blob.State.PRESENT)

    @property
    def is_being_removed(self) -> bool:
        return self.link_state == RepositoryBlob.State.DELETING or self.blob_state == Blob.State.DELETING


def look_up(repository: RepositoryName, digest: str) -> Found | None:
    """What the mirror knows; None when the blob was never announced there."""
    row = _BLOB.row(repository.project, str(repository), digest, links.GRACE / 4)
    return Found(*row) if row else None
