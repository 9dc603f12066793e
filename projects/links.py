"""RepositoryBlob and Blob rows: the mirror of what the registry lets a repository read (invariant I14).

Who keeps a link (announce, record) and who removes one (claim) meet in row locks: keepers update or lock
`FOR KEY SHARE`, removers take `FOR UPDATE`, look again in a following statement, then change.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import timedelta

import structlog
from django.db import connection, transaction
from django.utils import timezone

from core import errors
from core.store import client
from projects.models import Blob, Project, Reference, Repository, RepositoryBlob

Kind = RepositoryBlob.Kind
log = structlog.get_logger(__name__)

# Garbage collection leaves links alone that were touched within its grace; a HEAD refreshes a quarter of it.
GRACE = timedelta(hours=2)
# How long a request waits for a removal under way, and after how long such a removal counts as abandoned.
WAIT_SECONDS = 10.0
REMOVAL_LEASE = timedelta(seconds=60)

_ANNOUNCE = """
WITH blob AS (
    INSERT INTO projects_blob (digest, state, created) VALUES (%(digest)s, 'announced', now())
    ON CONFLICT (digest) DO NOTHING RETURNING id
), the_blob AS (
    SELECT id FROM blob UNION ALL SELECT id FROM projects_blob WHERE digest = %(digest)s LIMIT 1
)
INSERT INTO projects_repositoryblob AS link (repository_id, blob_id, kind, state, touched)
SELECT %(repository)s, id, %(kind)s, 'announced', now() FROM the_blob
ON CONFLICT (repository_id, blob_id, kind) DO UPDATE SET touched = now() WHERE link.state <> 'deleting'
RETURNING link.state
"""
# The same as `record_present`, for many: what is being removed stays so, and whoever needs it learns by `hold`.
_RECORD_DATA = """
INSERT INTO projects_blob AS blob (digest, size, state, created)
SELECT digest, size, 'present', now() FROM unnest(%(digests)s::text[], %(sizes)s::bigint[]) AS found (digest, size)
ORDER BY digest
ON CONFLICT (digest) DO UPDATE SET size = excluded.size, state = 'present'
WHERE blob.state <> 'deleting' AND (blob.size IS DISTINCT FROM excluded.size OR blob.state <> 'present')
"""
_RECORD_LINKS = """
INSERT INTO projects_repositoryblob AS link (repository_id, blob_id, kind, state, touched)
SELECT %(repository)s, id, %(kind)s, 'present', now() FROM projects_blob
WHERE digest = ANY(%(digests)s::text[]) AND state <> 'deleting' ORDER BY digest
ON CONFLICT (repository_id, blob_id, kind) DO UPDATE SET state = 'present' WHERE link.state = 'announced'
"""


def announce(*, repository: Repository, digest: str, kind: Kind = Kind.LAYER) -> None:
    """Say that an upload, mount or PUT of this digest is under way, so that nobody removes it meanwhile.

    Waits for a removal under way; Unavailable when it takes too long.
    """
    deadline = time.monotonic() + WAIT_SECONDS
    while not _announced(repository, digest, kind):
        if time.monotonic() > deadline:
            raise errors.Unavailable(f"{digest} is being removed; try again.")
        finish_abandoned(repository=repository, digest=digest)
        time.sleep(0.05)


def touch(*, repository_name: str, digest: str) -> bool:
    """Refresh an existing layer link; False when there is none that may be counted on."""
    links = RepositoryBlob.objects.filter(
        repository__name=repository_name,
        repository__project__deleted__isnull=True,
        blob__digest=digest,
        kind=Kind.LAYER,
    ).exclude(state=RepositoryBlob.State.DELETING)
    return links.exclude(blob__state=Blob.State.DELETING).update(touched=timezone.now()) > 0


def record_present(*, repository: Repository, digest: str, size: int, kind: Kind = Kind.LAYER) -> None:
    """The registry told us that the repository has this blob, of this many bytes."""
    with transaction.atomic():
        Blob.objects.bulk_create([Blob(digest=digest)], ignore_conflicts=True)
        blob = Blob.objects.select_for_update(no_key=True).get(digest=digest)
        if blob.state == Blob.State.DELETING:
            return
        if blob.size != size or blob.state != Blob.State.PRESENT:
            Blob.objects.filter(pk=blob.pk).update(size=size, state=Blob.State.PRESENT)
        link = RepositoryBlob(repository=repository, blob=blob, kind=kind)
        RepositoryBlob.objects.bulk_create([link], ignore_conflicts=True)
        RepositoryBlob.objects.filter(
            repository=repository, blob=blob, kind=kind, state=RepositoryBlob.State.ANNOUNCED
        ).update(state=RepositoryBlob.State.PRESENT)


def record_all_present(*, repository: Repository, sizes: Mapping[str, int], kind: Kind = Kind.LAYER) -> None:
    """The store told us that the repository has these blobs, with these sizes in bytes."""
    digests = sorted(sizes)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_RECORD_DATA, {"digests": digests, "sizes": [sizes[digest] for digest in digests]})
        cursor.execute(_RECORD_LINKS, {"digests": digests, "repository": repository.pk, "kind": kind.value})


def sizes(*, repository: Repository, digests: Iterable[str]) -> dict[str, int]:
    """Real sizes in bytes of the blobs that the repository has; digests it does not have are left out.

    What is only announced is asked of the registry, and remembered.
    """
    wanted = set(digests)
    rows = RepositoryBlob.objects.filter(repository=repository, blob__digest__in=wanted, kind=Kind.LAYER)
    present = rows.filter(state=RepositoryBlob.State.PRESENT, blob__state=Blob.State.PRESENT)
    known = {link.blob.digest: link.blob.size or 0 for link in present.select_related("blob")}
    for digest in wanted - known.keys():
        size = client.blob_size(repository=repository.name, digest=digest)
        if size is not None:
            record_present(repository=repository, digest=digest, size=size)
            known[digest] = size
    return known


def delete_blob(*, repository: Repository, digest: str) -> None:
    """Take a blob out of a repository. BlobUnknown when it is not there, BlobReferenced when it is needed."""
    with transaction.atomic():
        link = (
            RepositoryBlob.objects.select_for_update(of=("self",))
            .filter(repository=repository, blob__digest=digest, kind=Kind.LAYER)
            .exclude(state=RepositoryBlob.State.DELETING)
            .first()
        )
        if link is None:
            raise errors.BlobUnknown(detail=digest)
        # A following statement, so that it sees what was committed before the lock was ours.
        if Reference.objects.filter(repository=repository, digest=digest).exists():
            raise errors.BlobReferenced(detail=digest)
        link.state = RepositoryBlob.State.DELETING
        link.touched = timezone.now()
        link.save(update_fields=["state", "touched"])
    _finish_removal(link)


def remove_links_of(*, project: Project) -> None:
    """Take every link of a deleted project's repositories away, so that its name can be given to others.

    Safe to run again after it died; StoreUnavailable when the registry does not answer.
    """
    RepositoryBlob.objects.filter(repository__project=project).exclude(state=RepositoryBlob.State.DELETING).update(
        state=RepositoryBlob.State.DELETING, touched=timezone.now()
    )
    links = RepositoryBlob.objects.filter(repository__project=project, state=RepositoryBlob.State.DELETING)
    for link in links.select_related("repository", "blob").iterator():
        _finish_removal(link)


def wait_for_removal(*, project_name: str) -> None:
    """Wait until no link of a deleted project of this name is left; Conflict when that takes too long."""
    left = RepositoryBlob.objects.filter(repository__project__name=project_name).exclude(
        repository__project__deleted__isnull=True
    )
    deadline = time.monotonic() + WAIT_SECONDS
    while left.exists():
        if time.monotonic() > deadline:
            raise errors.Conflict(
                f"The data of the deleted project {project_name} are still being removed; try again in a minute"
            )
        time.sleep(0.1)


def finish_abandoned(*, repository: Repository, digest: str) -> None:
    """Finish the removal of a link whose remover seems to have died."""
    link = (
        RepositoryBlob.objects.filter(
            repository=repository,
            blob__digest=digest,
            state=RepositoryBlob.State.DELETING,
            touched__lt=timezone.now() - REMOVAL_LEASE,
        )
        .select_related("repository", "blob")
        .first()
    )
    if link is not None:
        log.info("abandoned_removal_finished", repository=repository.name, digest=digest)
        _finish_removal(link)


def _finish_removal(link: RepositoryBlob) -> None:
    """Remove the registry's link, then our row. Both may be done twice."""
    if link.kind == Kind.LAYER:
        client.delete_blob(repository=link.repository.name, digest=link.blob.digest)
    else:
        client.delete_manifest(repository=link.repository.name, digest=link.blob.digest)
    RepositoryBlob.objects.filter(pk=link.pk, state=RepositoryBlob.State.DELETING).delete()


def _announced(repository: Repository, digest: str, kind: Kind) -> bool:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_ANNOUNCE, {"repository": repository.pk, "digest": digest, "kind": kind.value})
        if cursor.fetchone() is None and not _retry_blob_race(repository, digest, kind):
            return False
        # The new link holds the blob's row; whether its data are being removed can be asked only now.
        blob = Blob.objects.get(digest=digest)
        if blob.state == Blob.State.DELETING:
            transaction.set_rollback(True)
            return False
    return True


def _retry_blob_race(repository: Repository, digest: str, kind: Kind) -> bool:
    """Whether the link is usable although the statement returned nothing.

    Two first announcements of one digest at once: the later one's INSERT found the blob's row, but its
    SELECT is older than that row. A second statement sees it.
    """
    with connection.cursor() as cursor:
        cursor.execute(_ANNOUNCE, {"repository": repository.pk, "digest": digest, "kind": kind.value})
        return cursor.fetchone() is not None
