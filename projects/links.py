"""RepositoryBlob and Blob rows: the mirror of what the registry lets a repository read (invariant I14).

Who keeps a link (announce, record) and who removes one (claim) meet in row locks: keepers update or lock
`FOR KEY SHARE`, removers take `FOR UPDATE`, look again in a following statement, then change.

A removal is a claim (the row is *deleting*), then the store, then the row. Who waits for one whose remover died
finishes it, but never while that remover lives: one that was only asleep would go on removing what has come since. So
whoever removes links holds `removals_in` their project, together with others, from the claim to the end; who finishes
what others began, and who removes a whole project's, holds it alone.

A row that is *present* was there, not being removed, before the store was asked, and is the same row since: so the
store has what the row says for as long as the row is not claimed. That is what `artifacts.hold` relies on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from core import clock, errors, locks
from core.postgres.prepared import Statement
from core.store import files
from core.store.files import Kind as FileKind
from core.store.files import Link
from projects import blobs
from projects.models import Blob, Project, Reference, Repository, RepositoryBlob

Kind = RepositoryBlob.Kind
log = structlog.get_logger(__name__)

# Garbage collection leaves links alone that were touched within its grace; a HEAD refreshes a quarter of it.
GRACE = timedelta(hours=settings.GC_TIME_WINDOW_HOURS)
COLLECTION = "garbage collection"
"""The lock of whoever collects garbage (`core.locks.sole`)."""
# How long a request waits for a removal under way, and after how long such a removal counts as abandoned.
WAIT_SECONDS = 10.0
REMOVAL_LEASE = timedelta(seconds=60)
# A remover that did not begin by then does not begin; with a bucket's time limits (46 s) it has ended within the lease.
BEGIN_SECONDS = 10.0
_BATCH = 500

# The lock on the blob waits for who removes its data, and then sees whether they are going; whoever comes to remove
# them after that finds the new link. A blob that another statement adds at this moment is seen by neither half: then
# nothing is inserted, and a second try sees it. In a deleted project nothing is announced: its links are removed by
# their names, which the next project of that name has as well.
_ANNOUNCE = Statement(
    "bigint, text, text",
    """
    WITH project AS MATERIALIZED (
        SELECT id FROM projects_project WHERE id = (SELECT project_id FROM projects_repository WHERE id = $1)
        AND deleted IS NULL FOR KEY SHARE
    ), added AS (
        INSERT INTO projects_blob (digest, state, created) SELECT $2, 'announced', now() FROM project
        ON CONFLICT (digest) DO NOTHING RETURNING id
    ), held AS MATERIALIZED (
        SELECT id, state FROM projects_blob WHERE digest = $2 FOR KEY SHARE
    )
    INSERT INTO projects_repositoryblob AS link (repository_id, blob_id, kind, state, touched)
    SELECT $1, blob.id, $3, 'announced', now()
    FROM project, (SELECT id FROM added UNION ALL SELECT id FROM held WHERE state <> 'deleting') blob
    ON CONFLICT (repository_id, blob_id, kind) DO UPDATE SET touched = now() WHERE link.state <> 'deleting'
    RETURNING link.state
    """,
)
# OFFSET keeps it a look at each digest's one blob, and at its one link: else Postgres would read all blobs, or all
# links of the repository, for as long as it thinks them few, and go on when there are many.
_SIZES = Statement(
    "bigint, text[]",
    """
    SELECT wanted.digest, coalesce(size, 0) FROM unnest($2) AS wanted (digest), LATERAL (
        SELECT id, size FROM projects_blob WHERE digest = wanted.digest AND state = 'present' OFFSET 0
    ) blob, LATERAL (
        SELECT FROM projects_repositoryblob
        WHERE repository_id = $1 AND blob_id = blob.id AND kind = 'layer' AND state = 'present' OFFSET 0
    ) link
    """,
)
# All in the order of their digests, so that two requests with the same blobs cannot wait for each other.
_ADD_BLOBS = Statement(
    "text[]",
    """
    INSERT INTO projects_blob (digest, state, created)
    SELECT digest, 'announced', now() FROM unnest($1) AS digest ORDER BY digest COLLATE "C" ON CONFLICT DO NOTHING
    """,
)
_LOCK_BLOBS = Statement(
    "text[]",
    """
    SELECT blob.id, blob.digest, blob.state FROM (SELECT unnest($1) AS digest ORDER BY 1) wanted, LATERAL (
        SELECT id, digest, state FROM projects_blob WHERE digest = wanted.digest FOR NO KEY UPDATE
    ) blob
    """,
)
# For rows that are locked, so that each stays where it is (its ctid). Joined by the id it would read all blobs.
_BLOBS_ARE_PRESENT = Statement(
    "bigint[], bigint[]",
    """
    UPDATE projects_blob SET size = told.size, state = 'present' FROM unnest($1, $2) AS told (id, size), LATERAL (
        SELECT ctid FROM projects_blob WHERE id = told.id OFFSET 0
    ) blob
    WHERE projects_blob.ctid = blob.ctid AND (projects_blob.size, state) IS DISTINCT FROM (told.size, 'present')
    """,
)
# Before the store is asked: a row that is claimed, removed and made again meanwhile has another id.
_LIVING = Statement(
    "bigint, text[]",
    """
    SELECT wanted.digest, link.id FROM unnest($2) AS wanted (digest), LATERAL (
        SELECT id FROM projects_blob WHERE digest = wanted.digest AND state <> 'deleting' OFFSET 0
    ) blob, LATERAL (
        SELECT id FROM projects_repositoryblob
        WHERE repository_id = $1 AND blob_id = blob.id AND kind = 'layer' AND state <> 'deleting' OFFSET 0
    ) link
    """,
)
_CONFIRM = Statement(
    "bigint[]",
    "UPDATE projects_repositoryblob SET state = 'present' WHERE id = ANY($1) AND state <> 'deleting' RETURNING id",
)
_LINKS_ARE_PRESENT = Statement(
    "bigint, bigint[], text",
    """
    INSERT INTO projects_repositoryblob AS link (repository_id, blob_id, kind, state, touched)
    SELECT $1, id, $3, 'present', now() FROM unnest($2) WITH ORDINALITY AS given (id, place) ORDER BY place
    ON CONFLICT (repository_id, blob_id, kind) DO UPDATE SET state = 'present' WHERE link.state = 'announced'
    """,
)


def announce(*, repository: Repository, digest: str, kind: Kind = Kind.LAYER) -> None:
    """Say that an upload, mount or PUT of this digest is under way, so that nobody removes it meanwhile.

    Waits for a removal under way; Unavailable when it takes too long. ProjectUnknown when the project is deleted.
    """
    wanted = (repository.pk, digest, kind.value)
    deadline = time.monotonic() + WAIT_SECONDS
    while not (_ANNOUNCE.row(*wanted) or _ANNOUNCE.row(*wanted)):
        if not Project.objects.live().filter(pk=repository.project_id).exists():
            raise errors.ProjectUnknown
        if time.monotonic() > deadline:
            raise errors.Unavailable(f"{digest} is being removed; try again.")
        finish_abandoned(repository=repository, digest=digest)
        time.sleep(0.05)


def touch(*, repository_name: str, digest: str) -> bool:
    """Refresh an existing layer link; False when there is none that may be counted on."""
    known = _links_to(repository_name, digest, Kind.LAYER).exclude(blob__state=Blob.State.DELETING)
    link = known.values_list("pk", flat=True).first() or 0
    # On this table alone: a condition in a subquery is not judged again after waiting for who removes the link.
    kept = RepositoryBlob.objects.filter(pk=link).exclude(state=RepositoryBlob.State.DELETING)
    return kept.update(touched=clock.now()) > 0


def touch_manifest(*, repository_name: str, digest: str) -> None:
    """Refresh the link of a live manifest, if nobody did for a quarter of the grace."""
    found = _links_to(repository_name, digest, Kind.MANIFEST).exclude(state=RepositoryBlob.State.DELETING)
    found.filter(touched__lt=clock.now() - GRACE / 4).update(touched=clock.now())


def _links_to(repository_name: str, digest: str, kind: Kind) -> QuerySet[RepositoryBlob]:
    return RepositoryBlob.objects.filter(
        repository__name=repository_name,
        repository__project__deleted__isnull=True,
        blob__digest=digest,
        kind=kind,
    )


def record_present(*, repository: Repository, digest: str, size: int, kind: Kind = Kind.LAYER) -> None:
    """The store has this link, and nobody can have removed it meanwhile; its blob has this many bytes."""
    record_all_present(repository=repository, sizes={digest: size}, kind=kind)


def record_all_present(*, repository: Repository, sizes: Mapping[str, int], kind: Kind = Kind.LAYER) -> None:
    """The store has these links, and nobody can have removed one meanwhile: digest → bytes of the blob.

    For who keeps removers away, or knows of a reference. Everybody else asks by `sizes`.
    """
    if not sizes:
        return
    digests = sorted(sizes)
    with transaction.atomic():
        _ADD_BLOBS.rows(digests)
        locked = _LOCK_BLOBS.rows(digests)
        kept = [(number, sizes[digest]) for number, digest, state in locked if state != Blob.State.DELETING]
        numbers = [number for number, _ in kept]
        _BLOBS_ARE_PRESENT.rows(numbers, [size for _, size in kept])
        _LINKS_ARE_PRESENT.rows(repository.pk, numbers, kind.value)


def take_in(*, repository: Repository, digest: str, kind: Kind, touched: datetime) -> None:
    """Make the row of a link that only the store knows, as old as it is there. It proves nothing.

    Data that are just being removed get none: the link is looked at again another time.
    """
    with transaction.atomic():
        _ADD_BLOBS.rows([digest])
        blob = Blob.objects.select_for_update(no_key=True).filter(digest=digest).exclude(state=Blob.State.DELETING)
        if (found := blob.first()) is not None:
            RepositoryBlob.objects.get_or_create(
                repository=repository, blob=found, kind=kind, defaults={"touched": touched}
            )


def sizes(*, repository: Repository, digests: Iterable[str]) -> dict[str, int]:
    """Real sizes in bytes of the blobs that the repository has; digests it does not have are left out.

    What is only announced is looked up in the registry's store, and remembered.
    """
    wanted = set(digests)
    known: dict[str, int] = dict(_SIZES.rows(repository.pk, sorted(wanted)))
    return {**known, **_ask(repository, wanted - known.keys())}


def _ask(repository: Repository, digests: Collection[str]) -> dict[str, int]:
    """What the store says of layers whose rows do not tell: digest → bytes, of those that it has."""
    if not digests:
        return {}
    rows: dict[str, int] = dict(_LIVING.rows(repository.pk, sorted(digests)))
    told = _told(repository, digests)
    if strangers := told.keys() - rows.keys():
        # Nobody announced them, or they are just being removed: neither answer holds without a row.
        for digest in sorted(strangers):
            announce(repository=repository, digest=digest)
        rows = {**rows, **dict(_LIVING.rows(repository.pk, sorted(strangers)))}
        told = {**{digest: told[digest] for digest in told.keys() - strangers}, **_told(repository, strangers)}
    return _confirm({digest: (rows[digest], told[digest]) for digest in told.keys() & rows.keys()})


def _told(repository: Repository, digests: Iterable[str]) -> dict[str, int]:
    asked = {digest: files.linked_size(Link(repository.name, "layer", digest)) for digest in digests}
    return {digest: size for digest, size in asked.items() if size is not None}


def _confirm(told: Mapping[str, tuple[int, int]]) -> dict[str, int]:
    """Remember what the store told: digest → id of the row that was there before it was asked, and bytes.

    Gives the bytes of those whose row is still that one: of the others something was removed meanwhile.
    """
    if not told:
        return {}
    with transaction.atomic():
        locked = {digest: number for number, digest, _ in _LOCK_BLOBS.rows(sorted(told))}
        rows = {number for (number,) in _CONFIRM.rows([number for number, _ in told.values()])}
        confirmed = {digest: size for digest, (number, size) in told.items() if number in rows}
        # Their data stay, for a link leads to them.
        _BLOBS_ARE_PRESENT.rows([locked[digest] for digest in confirmed], list(confirmed.values()))
    return confirmed


def delete_blob(*, repository: Repository, digest: str) -> None:
    """Take a blob out of a repository. BlobUnknown when it is not there, BlobReferenced when it is needed."""
    known = RepositoryBlob.objects.filter(repository=repository, blob__digest=digest, kind=Kind.LAYER)
    link = known.exclude(state=RepositoryBlob.State.DELETING).first()
    if link is None:
        raise errors.BlobUnknown(detail=digest)
    with locks.shared(removals_in(repository.project_id)) as hold:
        if not hold:
            raise errors.Unavailable(f"{digest} is being removed; try again.")
        with promptly(hold):
            claimed = claim([link.pk])
        if not claimed:
            # It was removed by somebody else meanwhile, or it is needed.
            raise errors.BlobReferenced(detail=digest) if known.exists() else errors.BlobUnknown(detail=digest)
        remove(claimed)


def removals_in(project: int) -> str:
    """The lock (`core.locks`) of who removes links of a project (its id)."""
    return f"removals in project {project}"


@contextmanager
def promptly(*holds: locks.Hold) -> Iterator[None]:
    """A claim under these locks; afterwards Unavailable, unless what was claimed is surely still ours to be removed.

    A process that slept since may have been taken for dead, if the connection of its lock broke meanwhile.
    """
    began = _uptime()
    yield
    if _uptime() - began > BEGIN_SECONDS or not all(hold.is_kept() for hold in holds):
        raise errors.Unavailable("This process slept, or lost the lock of its removal; try again.")


def claim(links: Sequence[int], *, untouched_since: datetime | None = None) -> list[RepositoryBlob]:
    """Mark links (their ids) as being removed, of those that no manifest needs: live, deleted or on its way.

    With `untouched_since`, only those that nobody counted on since then, and none that somebody else has locked at
    this moment. Gives the links that are ours to be removed.
    """
    with transaction.atomic():
        rows = RepositoryBlob.objects.select_for_update(of=("self",), skip_locked=untouched_since is not None)
        rows = rows.filter(pk__in=links).exclude(state=RepositoryBlob.State.DELETING).order_by("pk")
        if untouched_since is not None:
            rows = rows.filter(touched__lt=untouched_since)
        locked = list(rows.values_list("pk", flat=True))
        # In a following statement, so that it sees what was committed before the locks were ours.
        needed = Reference.objects.filter(repository=OuterRef("repository"), digest=OuterRef("blob__digest"))
        free = RepositoryBlob.objects.filter(~Exists(needed), pk__in=locked)
        claimed = list(free.select_related("repository__project", "blob").order_by("pk"))
        RepositoryBlob.objects.filter(pk__in=[link.pk for link in claimed]).update(
            state=RepositoryBlob.State.DELETING, touched=clock.now()
        )
    return claimed


def remove_damaged(link: RepositoryBlob, *, is_sound: Callable[[], bool]) -> bool:
    """Remove a link that was found damaged; False when it is needed, or sound when looked at again."""
    with locks.shared(removals_in(link.repository.project_id)) as hold:
        if not hold:
            return False
        with promptly(hold):
            claimed = claim([link.pk])
        # From here on nobody heals it by uploading again; he waits.
        if claimed and is_sound():
            RepositoryBlob.objects.filter(pk=link.pk).update(state=RepositoryBlob.State.ANNOUNCED)
            return False
        remove(claimed)
        return bool(claimed)


def remove(claimed: Sequence[RepositoryBlob]) -> None:
    """Remove the registry's links that were claimed, then our rows. Both may be done twice."""
    files.remove_links(*map(in_store, claimed))
    forget(claimed)


def forget(claimed: Sequence[RepositoryBlob]) -> None:
    """Drop the rows of links that are removed."""
    RepositoryBlob.objects.filter(pk__in=[link.pk for link in claimed], state=RepositoryBlob.State.DELETING).delete()


def remove_links_of(*, project: Project, seconds: float) -> None:
    """Take every link of a deleted project's repositories away, so that its name can be given to others.

    Waits a little for who removes some of them already, and leaves the rest for another time when it takes longer
    than `seconds`. Safe to run again after it died; StoreUnavailable when the store does not answer.
    """
    began = time.monotonic()
    while True:
        # Alone, or one of two that slept would remove links of the next project of this name.
        with locks.sole(removals_in(project.pk)) as hold:
            if hold:
                _remove_links_of(project, hold, began + seconds)
                return
        if time.monotonic() > began + min(seconds, WAIT_SECONDS):
            return
        time.sleep(0.1)


def _remove_links_of(project: Project, hold: locks.Hold, deadline: float) -> None:
    # No claim is needed: who keeps a link holds the project, which is deleted.
    RepositoryBlob.objects.filter(repository__project=project).exclude(state=RepositoryBlob.State.DELETING).update(
        state=RepositoryBlob.State.DELETING, touched=clock.now()
    )
    links = RepositoryBlob.objects.filter(repository__project=project, state=RepositoryBlob.State.DELETING)
    while True:
        with promptly(hold):
            batch = list(links.select_related("repository", "blob").order_by("pk")[:_BATCH])
        remove(batch)
        if len(batch) < _BATCH or time.monotonic() > deadline:
            return


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
    """Finish the removal of a link, or of its data, whose remover has died."""
    stale = clock.now() - REMOVAL_LEASE
    mine = abandoned(stale).filter(repository=repository, blob__digest=digest)
    if mine.exists():
        with locks.sole(removals_in(repository.project_id)) as hold:
            if hold:
                log.info("abandoned_removal_finished", repository=repository.name, digest=digest)
                remove(reclaim(mine, hold))
    data = blobs.abandoned(stale).filter(digest=digest)
    if data.exists():
        with locks.sole(COLLECTION) as hold:
            if hold:
                log.info("abandoned_removal_finished", digest=digest)
                with promptly(hold):
                    claimed = blobs.reclaim(data)
                blobs.remove(claimed)


def abandoned(stale: datetime) -> QuerySet[RepositoryBlob]:
    """Links of living projects whose removal began before this time and did not end."""
    return RepositoryBlob.objects.filter(
        state=RepositoryBlob.State.DELETING, touched__lt=stale, repository__project__deleted__isnull=True
    )


def reclaim(left: QuerySet[RepositoryBlob], hold: locks.Hold) -> list[RepositoryBlob]:
    """Abandoned links of one project, now ours to be removed; `hold` is `removals_in` it, alone."""
    with promptly(hold), transaction.atomic():
        # Claimed they were by who died, so nobody has come to need one since.
        locked = list(left.select_for_update(of=("self",), skip_locked=True).values_list("pk", flat=True))
        mine = RepositoryBlob.objects.filter(pk__in=locked)
        mine.update(touched=clock.now())
        found = list(mine.select_related("repository__project", "blob").order_by("pk"))
    return found


def in_store(link: RepositoryBlob) -> Link:
    """What the registry has for a row."""
    kind: FileKind = "layer" if link.kind == Kind.LAYER else "manifest"
    return Link(link.repository.name, kind, link.blob.digest)


def _uptime() -> float:
    """Seconds, with those in which this machine slept."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
