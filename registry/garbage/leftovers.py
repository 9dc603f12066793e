"""What lies in the store without rows: uploads that nobody goes on with, and what only the store knows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from core.oci import RepositoryName
from core.store import files, uploads
from core.store.files import FoundLink, Kind, Link
from projects import links, repositories
from projects.models import Blob, Project, Repository, RepositoryBlob

_KINDS: tuple[Kind, ...] = ("layer", "manifest")


@dataclass(frozen=True)
class LinkOrphan:
    """A link that no row knows; it is as old as its file."""

    link: Link
    written: datetime

    def __str__(self) -> str:
        return f"{self.link.kind} link {self.link.repository}@{self.link.digest}"


@dataclass(frozen=True)
class DataOrphan:
    """Data that no row knows and no link leads to."""

    digest: str
    size: int

    def __str__(self) -> str:
        return f"data {self.digest}"


Orphan = LinkOrphan | DataOrphan


def old_uploads(before: datetime) -> Iterator[tuple[str, str, int]]:
    """Repository, uuid and bytes of every upload that nothing was written to since then."""
    for name in files.repositories():
        for uuid, upload in uploads.of(name).items():
            if upload.last_written < before:
                yield name, uuid, upload.size


def orphans(before: datetime) -> Iterator[Orphan]:
    """Links without a row that are older than this, then data without a row that no such link leads to."""
    linked: set[str] = set()
    for name in files.repositories():
        for link, found in _unknown_links(name):
            linked.add(link.digest)
            if found.written < before:
                yield LinkOrphan(link, found.written)
    for shard in files.shards():
        stored = dict(files.digests_in(shard))
        known = set(Blob.objects.filter(digest__in=stored).values_list("digest", flat=True))
        for digest in sorted(stored.keys() - known - linked):
            yield DataOrphan(digest, stored[digest])


def take_in(orphan: Orphan) -> None:
    """Give an orphan the rows that it lacks, as old as it is: then it goes as everything goes that nobody needs."""
    if isinstance(orphan, DataOrphan):
        known = {"size": orphan.size, "state": Blob.State.PRESENT}
        Blob.objects.get_or_create(digest=orphan.digest, defaults=known)
        return
    repository = _repository(orphan.link.repository)
    if repository is None:
        # In no project: nobody could have pushed it since.
        files.remove_links(orphan.link)
        return
    links.take_in(
        repository=repository,
        digest=orphan.link.digest,
        kind=RepositoryBlob.Kind(orphan.link.kind),
        touched=orphan.written,
    )


def _unknown_links(name: str) -> Iterator[tuple[Link, FoundLink]]:
    rows = RepositoryBlob.objects.filter(repository__name=name, repository__project__deleted__isnull=True)
    known = set(rows.values_list("kind", "blob__digest"))
    for kind in _KINDS:
        for found in files.found_links(name, kind):
            if (kind, found.digest) not in known:
                yield Link(name, kind, found.digest), found


def _repository(name: str) -> Repository | None:
    """Its row, made when there is a project for it."""
    project = Project.objects.live().filter(name=name.partition("/")[0]).first()
    return repositories.ensure(project=project, name=RepositoryName.parse(name)) if project else None
