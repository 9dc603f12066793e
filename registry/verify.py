"""Proof that Postgres and the store agree, and repair where they do not.

Safe on a running platform: what a push under way has announced is left alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from core.store import files
from core.store.files import Link
from projects import links, quotas
from projects.models import Artifact, Blob, Manifest, Project, Reference, Repository, RepositoryBlob, Tag

_CHUNK = 1024 * 1024
_BLOB_KINDS = (Reference.Kind.CONFIG, Reference.Kind.LAYER)


@dataclass(frozen=True)
class Finding:
    """One disagreement, in words, and whether it was mended."""

    kind: str
    what: str
    repaired: bool = False


def verify(*, repair: bool = False, deep: bool = False) -> Iterator[Finding]:
    """Every disagreement between Postgres and the store. `deep` also hashes every blob (slow)."""
    yield from _manifests(repair)
    yield from _blobs(deep)
    yield from _links_needed(repair)
    yield from _links_found(repair)
    yield from _data_found(repair)
    yield from _rows(repair)


# --- what Postgres promises -----------------------------------------------------------------------------------
def _manifests(repair: bool) -> Iterator[Finding]:
    """The registry must hold every manifest's exact bytes."""
    for digest in Manifest.objects.values_list("digest", flat=True).order_by("digest").iterator():
        if _hash(digest) == digest:
            continue
        state = "missing" if files.data_size(digest) is None else "damaged"
        if repair:
            files.write_data(digest, bytes(Manifest.objects.get(pk=digest).content))
        yield Finding(f"manifest-{state}", digest, repair)


def _blobs(deep: bool) -> Iterator[Finding]:
    """Every blob that a manifest refers to must be there with its size. Nobody but a client can bring one back."""
    needed = Reference.objects.live().filter(kind__in=_BLOB_KINDS).order_by("digest").distinct()
    for digest, size in needed.values_list("digest", "size").iterator():
        stored = files.data_size(digest)
        if stored is None:
            yield Finding("blob-missing", f"{digest} ({_users(digest)})")
        elif stored != size or (deep and _hash(digest) != digest):
            yield Finding("blob-damaged", f"{digest} has {stored} of {size} bytes ({_users(digest)})")


def _links_needed(repair: bool) -> Iterator[Finding]:
    """Every reference needs the registry's link in its repository, undamaged, and our row for it."""
    there = {link: text for link, text in files.links() if text == link.digest}
    needed = Reference.objects.live().filter(kind__in=(Reference.Kind.SELF, *_BLOB_KINDS))
    rows = needed.values_list("repository__name", "repository_id", "kind", "digest", "size").distinct()
    for name, repository_id, kind, digest, size in rows.iterator():
        link = Link(name, "manifest" if kind == Reference.Kind.SELF else "layer", digest)
        if link not in there:
            if repair:
                files.write_link(link)
            yield Finding("link-missing", f"{name}@{digest}", repair)
        if not _row_of(link).filter(state=RepositoryBlob.State.PRESENT).exists():
            if repair:
                repository = Repository.objects.get(pk=repository_id)
                links.record_present(
                    repository=repository, digest=digest, size=size, kind=RepositoryBlob.Kind(link.kind)
                )
            yield Finding("row-missing", f"{name}@{digest}", repair)


# --- what only the store has ------------------------------------------------------------------------------------
def _links_found(repair: bool) -> Iterator[Finding]:
    """A link that nobody needs must be whole and known, so that garbage collection sees it."""
    for link, text in files.links():
        if _is_under_way(link.digest) or _is_needed(link):
            continue
        if text != link.digest or not _has_data(link):
            # The rest of a push that died, or of what an old registry deleted: nothing refers to it.
            if repair:
                _remove_leftover(link)
            yield Finding("leftover-damaged", f"{link.kind} {link.repository}@{link.digest}", repair)
        elif not _row_of(link).exists():
            yield Finding("link-unknown", f"{link.kind} {link.repository}@{link.digest}", repair and _adopt(link))


def _data_found(repair: bool) -> Iterator[Finding]:
    """Data that no row knows would never be collected."""
    known = set(Blob.objects.values_list("digest", flat=True))
    for digest, size in files.digests():
        if digest not in known:
            if repair:
                Blob.objects.get_or_create(digest=digest, defaults={"size": size, "state": Blob.State.PRESENT})
            yield Finding("data-unknown", f"{digest} ({size} bytes)", repair)


# --- what Postgres has of itself ----------------------------------------------------------------------------------
def _rows(repair: bool) -> Iterator[Finding]:
    for tag in Tag.objects.live().filter(artifact__deleted__isnull=False).select_related("repository"):
        if repair:
            Tag.objects.filter(pk=tag.pk).update(deleted=timezone.now())
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


def _users(digest: str) -> str:
    names = Reference.objects.live().filter(digest=digest).values_list("repository__name", flat=True).distinct()
    return "needed by " + ", ".join(sorted(names)[:3])


def _is_under_way(digest: str) -> bool:
    return Reference.objects.pending().filter(digest=digest, expires__gt=timezone.now()).exists()


def _is_needed(link: Link) -> bool:
    kinds = (Reference.Kind.SELF,) if link.kind == "manifest" else _BLOB_KINDS
    return (
        Reference.objects.live().filter(repository__name=link.repository, digest=link.digest, kind__in=kinds).exists()
    )


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


def _remove_leftover(link: Link) -> None:
    """Links before data, and data only when no other link and no reference names them."""
    files.remove_link(link)
    others = RepositoryBlob.objects.filter(blob__digest=link.digest).exclude(
        Q(repository__name=link.repository) & Q(kind=link.kind)
    )
    is_damaged = _hash(link.digest) not in (None, link.digest)
    if is_damaged and not others.exists() and not Reference.objects.filter(digest=link.digest).exists():
        files.remove_data(link.digest)


def _adopt(link: Link) -> bool:
    """Give a link that only the store knows its row; False when its repository is unknown too."""
    repository = Repository.objects.filter(name=link.repository, project__deleted__isnull=True).first()
    size = files.data_size(link.digest)
    if repository is None or size is None:
        return False
    kind = RepositoryBlob.Kind(link.kind)
    links.record_present(repository=repository, digest=link.digest, size=size, kind=kind)
    return True
