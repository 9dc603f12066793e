"""Proof that Postgres and the store agree, and repair where they do not.

Safe on a running platform: what a push under way has announced is left alone. At most one repository's links and a
256th of the store's digests are in memory at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

from django.db import transaction
from django.db.models import Exists, F, OuterRef, QuerySet

from core import clock, locks
from core.store import files
from core.store.files import Link
from projects import blobs, links, quotas
from projects.demo import seeding
from projects.models import Artifact, Blob, Manifest, Project, Reference, Repository, RepositoryBlob, Tag
from registry.garbage import leftovers

_CHUNK = 1024 * 1024
_BLOB_KINDS = (Reference.Kind.CONFIG, Reference.Kind.LAYER)
# Read side by side: a bucket answers each in its own time.
_READERS = 8
_LONG_AGO = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True)
class Finding:
    """One disagreement, in words, and whether it was mended."""

    kind: str
    what: str
    repaired: bool = False


def verify(*, repair: bool = False, deep: bool = False) -> Iterator[Finding]:
    """Every disagreement between Postgres and the store. `deep` also hashes every blob (slow).

    StoreUnavailable when the store does not answer: an absent one must not look like an empty one. Precondition when
    there are images that never had any content, of which a repair would put halves into the store.
    """
    seeding.check_content()
    files.check()
    yield from _manifests(repair)
    yield from _links(repair)
    yield from _data(repair, deep)
    yield from _rows(repair)


# --- manifests ----------------------------------------------------------------------------------------------------
def _manifests(repair: bool) -> Iterator[Finding]:
    """The registry must hold the exact bytes of every manifest that is in a repository, or was and is not forgotten."""
    needed = Manifest.objects.filter(Exists(Artifact.objects.filter(manifest=OuterRef("pk")))).order_by("digest")
    for digest, found in _hashes(needed.values_list("digest", flat=True).iterator()):
        # What garbage collection takes meanwhile is forgotten before its bytes go.
        if found == digest or not needed.filter(pk=digest).exists() or (found := _hash(digest)) == digest:
            continue
        state = "missing" if found is None else "damaged"
        if repair:
            files.write_data(digest, bytes(Manifest.objects.get(pk=digest).content))
        yield Finding(f"manifest-{state}", digest, repair)


# --- links ----------------------------------------------------------------------------------------------------
def _links(repair: bool) -> Iterator[Finding]:
    """What the registry may read in each repository that one of both knows."""
    with_references = Reference.objects.live().values_list("repository__name", flat=True).distinct()
    for name in sorted({*with_references.iterator(), *files.repositories()}):
        found = dict(files.links_of(name))
        yield from _links_needed(name, found, repair)
        yield from _links_found(found, repair)


def _links_needed(name: str, found: dict[Link, str], repair: bool) -> Iterator[Finding]:
    """Every reference needs the registry's link in its repository, undamaged, and our row for it."""
    needed = Reference.objects.live().filter(
        repository__name=name,
        # A deleted project's links are gone, whatever its deleted images still refer to.
        repository__project__deleted__isnull=True,
        kind__in=(Reference.Kind.SELF, *_BLOB_KINDS),
    )
    for repository_id, kind, digest, size in (
        needed.values_list("repository_id", "kind", "digest", "size").distinct().iterator()
    ):
        link = Link(name, "manifest" if kind == Reference.Kind.SELF else "layer", digest)
        if found.get(link) != digest and _is_astray(link):
            if repair:
                files.write_link(link)
            yield Finding("link-missing", f"{name}@{digest}", repair)
        if not _row_of(link).filter(state=RepositoryBlob.State.PRESENT).exists() and _is_needed(link):
            if repair:
                repository = Repository.objects.get(pk=repository_id)
                links.record_present(
                    repository=repository, digest=digest, size=size, kind=RepositoryBlob.Kind(link.kind)
                )
            yield Finding("row-missing", f"{name}@{digest}", repair)


def _links_found(found: dict[Link, str], repair: bool) -> Iterator[Finding]:
    """A link that nobody needs must be whole and known, so that garbage collection sees it."""
    for link, text in found.items():
        if _is_under_way(link.digest) or _is_needed(link):
            continue
        is_damaged, is_known = text != link.digest or not _has_data(link), _row_of(link).exists()
        # Garbage collection may have taken it since the listing.
        if (is_known and not is_damaged) or files.read_link(link) is None:
            continue
        if is_damaged:
            # The rest of a push that died, or of what an old registry deleted: nothing refers to it.
            yield Finding(
                "leftover-damaged",
                f"{link.kind} {link.repository}@{link.digest}",
                repair and _remove_leftover(link),
            )
        else:
            yield Finding("link-unknown", f"{link.kind} {link.repository}@{link.digest}", repair and _adopt(link))


# --- data -----------------------------------------------------------------------------------------------------
def _data(repair: bool, deep: bool) -> Iterator[Finding]:
    """Shard by shard: what is needed may be in one that the store does not have."""
    there = set(files.shards())
    for shard in (f"{number:02x}" for number in range(256)):
        stored = dict(files.digests_in(shard)) if shard in there else {}
        yield from _blobs(shard, stored, deep)
        yield from _unknown(stored, repair)


def _blobs(shard: str, stored: dict[str, int], deep: bool) -> Iterator[Finding]:
    """Every blob that a manifest refers to must be there with its size. Nobody but a client can bring one back."""
    needed = Reference.objects.live().filter(kind__in=_BLOB_KINDS, **_in_shard(shard)).order_by("digest").distinct()
    of_right_size = []
    for digest, size in needed.values_list("digest", "size").iterator():
        # What is not in the listing may have come since, or may be forgotten by now.
        found = stored[digest] if digest in stored else files.data_size(digest)
        if found is None and not Reference.objects.live().filter(digest=digest, kind__in=_BLOB_KINDS).exists():
            continue
        if found is None:
            yield Finding("blob-missing", f"{digest} ({_users(digest)})")
        elif found != size:
            yield Finding("blob-damaged", f"{digest} has {found} of {size} bytes ({_users(digest)})")
        else:
            of_right_size.append(digest)
    if deep:
        for digest, found_digest in _hashes(of_right_size):
            if found_digest != digest:
                yield Finding("blob-damaged", f"{digest} has other bytes ({_users(digest)})")


def _unknown(stored: dict[str, int], repair: bool) -> Iterator[Finding]:
    """Data that no row knows would never be collected."""
    known = set(Blob.objects.filter(digest__in=stored).values_list("digest", flat=True))
    for digest in stored.keys() - known:
        # Garbage collection may have taken them since the listing.
        if files.data_size(digest) is None:
            continue
        if repair:
            Blob.objects.get_or_create(digest=digest, defaults={"size": stored[digest], "state": Blob.State.PRESENT})
        yield Finding("data-unknown", f"{digest} ({stored[digest]} bytes)", repair)


# --- what Postgres has of itself ----------------------------------------------------------------------------------
def _rows(repair: bool) -> Iterator[Finding]:
    for tag in Tag.objects.live().filter(artifact__deleted__isnull=False).select_related("repository"):
        if repair:
            Tag.objects.filter(pk=tag.pk).update(deleted=clock.now())
        yield Finding("tag-without-artifact", f"{tag.repository.name}:{tag.name}", repair)
    foreign = Tag.objects.live().exclude(artifact__repository_id=F("repository_id"))
    for tag in foreign.select_related("repository"):
        yield Finding("tag-of-foreign-artifact", f"{tag.repository.name}:{tag.name}")
    for artifact in Artifact.objects.live().exclude(references__kind=Reference.Kind.SELF).select_related("repository"):
        yield Finding("artifact-without-references", f"{artifact.repository.name}@{artifact.digest}")
    for project in Project.objects.live().select_related("quota").filter(quota__isnull=False):
        if project.quota.used != quotas.usage(project=project):
            if repair:
                with transaction.atomic():
                    quotas.recount(project=project)
            yield Finding("quota-differs", project.name, repair)


# --- small questions ------------------------------------------------------------------------------------------------
def _hash(digest: str) -> str | None:
    """The digest of what is stored under a digest; None when nothing is."""
    try:
        with files.open_data(digest) as data:
            hasher = hashlib.sha256()
            while chunk := data.read(_CHUNK):
                hasher.update(chunk)
    except FileNotFoundError:
        return None
    return f"sha256:{hasher.hexdigest()}"


def _hashes(digests: Iterable[str]) -> Iterator[tuple[str, str | None]]:
    """Each digest with that of what is stored under it, in order."""
    waiting = iter(digests)
    with ThreadPoolExecutor(_READERS, thread_name_prefix="verify") as readers:
        while batch := list(islice(waiting, 10 * _READERS)):
            yield from zip(batch, readers.map(_hash, batch), strict=True)


def _in_shard(shard: str) -> dict[str, str]:
    """Digests that begin with these letters, as a range: an index knows those. No letter of theirs is a `g`."""
    return {"digest__gte": f"sha256:{shard}", "digest__lt": f"sha256:{shard}g"}


def _users(digest: str) -> str:
    names = Reference.objects.live().filter(digest=digest).values_list("repository__name", flat=True).distinct()
    return "needed by " + ", ".join(sorted(names)[:3])


def _is_under_way(digest: str) -> bool:
    return Reference.objects.pending().filter(digest=digest, expires__gt=clock.now()).exists()


def _is_astray(link: Link) -> bool:
    """Whether a link that was not in the listing is missing or damaged, and needed."""
    return files.read_link(link) != link.digest and _is_needed(link) and files.read_link(link) != link.digest


def _is_needed(link: Link) -> bool:
    kinds = (Reference.Kind.SELF,) if link.kind == "manifest" else _BLOB_KINDS
    here = Reference.objects.live().filter(
        repository__name=link.repository, repository__project__deleted__isnull=True, digest=link.digest
    )
    return here.filter(kind__in=kinds).exists()


def _has_data(link: Link) -> bool:
    """Whether what a link leads to is there; a manifest's bytes must also be the right ones."""
    if link.kind == "manifest":
        return _hash(link.digest) == link.digest
    return files.data_size(link.digest) is not None


def _row_of(link: Link) -> QuerySet[RepositoryBlob]:
    return RepositoryBlob.objects.filter(
        repository__name=link.repository,
        repository__project__deleted__isnull=True,
        blob__digest=link.digest,
        kind=link.kind,
    )


def _remove_leftover(link: Link) -> bool:
    """Links before data, each claimed as garbage collection does it, and looked at again before it goes."""
    repository = leftovers.repository_of(link.repository)
    if repository is None:
        leftovers.remove_stranger(link)
    else:
        # Of a link without a row nobody has announced anything: it is as old as can be.
        links.take_in(repository=repository, digest=link.digest, kind=_kind(link), touched=_LONG_AGO)
        row = _row_of(link).select_related("repository").first()
        if row is None or not links.remove_damaged(row, is_sound=lambda: _is_sound(link)):
            return False
    # Data that are damaged stay so when they are uploaded again, so they go now; but a collector takes them anyway.
    with locks.sole(links.COLLECTION) as hold:
        if hold and _hash(link.digest) not in (None, link.digest):
            with links.promptly(hold):
                claimed = blobs.claim(list(Blob.objects.filter(digest=link.digest).values_list("pk", flat=True)))
            blobs.remove(claimed)
    return True


def _adopt(link: Link) -> bool:
    """Give a link that only the store knows its row, which proves nothing; False when there is no project for it."""
    repository = leftovers.repository_of(link.repository)
    if repository is None:
        return False
    links.take_in(repository=repository, digest=link.digest, kind=_kind(link), touched=clock.now())
    return True


def _is_sound(link: Link) -> bool:
    return files.read_link(link) == link.digest and _has_data(link)


def _kind(link: Link) -> RepositoryBlob.Kind:
    return RepositoryBlob.Kind(link.kind)
