"""Putting a manifest into the registry so that it is whole there, whatever crashed before.

kill -9 can leave a manifest of registry 2.8 truncated, and a second PUT answers 201 without mending it. So
whenever another attempt at the same manifest was under way or died, the bytes are read back.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from core import errors, locks, oci
from core.postgres.prepared import Statement
from core.store import client, files
from projects.models import Repository

log = structlog.get_logger(__name__)
# The other attempt may still be writing.
SETTLE_SECONDS = 1.0
# When somebody else uploads or mounts a blob that the repository has, the registry writes its link again, and for a
# moment the link is empty.
_RELINK_PAUSES = (0.05, 0.2)
_OTHER_ATTEMPTS = Statement(
    "text, uuid",
    """
    SELECT EXISTS (
        SELECT 1 FROM projects_reference WHERE digest = $1 AND kind = 'self' AND artifact_id IS NULL AND attempt <> $2
    )
    """,
)


def store(*, repository: Repository, manifest: oci.Manifest, attempt: uuid.UUID) -> None:
    """PUT by digest; afterwards the registry has exactly these bytes, or this raises."""
    if _OTHER_ATTEMPTS.row(manifest.digest, str(attempt)) == (False,):
        _put(repository, manifest)
    elif not _put_and_read_back(repository, manifest):
        time.sleep(SETTLE_SECONDS)
        if not _put_and_read_back(repository, manifest):
            _mend(repository, manifest)


def _put_and_read_back(repository: Repository, manifest: oci.Manifest) -> bool:
    """Whether the registry has it after one try; while somebody else writes the same files it may fail or differ."""
    try:
        _put(repository, manifest)
    except errors.StoreUnavailable:
        return False
    return _is_whole(repository, manifest)


def _mend(repository: Repository, manifest: oci.Manifest) -> None:
    """Remove this repository's link, then the data, and PUT again; one at a time per digest."""
    with _sole_repairer(manifest.digest):
        log.warning("manifest_mended", repository=repository.name, digest=manifest.digest)
        files.remove_links(files.Link(repository.name, "manifest", manifest.digest))
        files.remove_data(manifest.digest)
        _put(repository, manifest)
        if not _is_whole(repository, manifest):
            raise errors.StoreUnavailable


def _put(repository: Repository, manifest: oci.Manifest) -> None:
    """What the manifest needs was found before; what the registry does not find at this moment it may in the next."""
    for pause in (*_RELINK_PAUSES, None):
        try:
            client.put_manifest(
                repository=repository.name,
                digest=manifest.digest,
                content=manifest.content,
                media_type=manifest.media_type,
            )
        except errors.ManifestBlobUnknown:
            if pause is None:
                raise
            time.sleep(pause)
        else:
            return


def _is_whole(repository: Repository, manifest: oci.Manifest) -> bool:
    return client.get_manifest(repository=repository.name, digest=manifest.digest) == manifest.content


@contextmanager
def _sole_repairer(digest: str) -> Iterator[None]:
    """Hold the digest's lock, the one that is held while another service is called; Unavailable when others do."""
    with locks.sole(digest) as is_mine:
        if not is_mine:
            raise errors.Unavailable("The manifest is being repaired; try again.")
        yield
