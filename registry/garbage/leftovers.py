"""Where the store and the rows disagree: uploads that nobody goes on with, what only the store knows, or only we.

Each is looked for place by place (a repository, or what lies under two letters of the digests), and told for each, also
where nothing is found: a store is large, and who looks through it asks in between whether to go on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from core.oci import RepositoryName
from core.store import files, uploads
from core.store.files import FoundLink, Kind, Link
from projects import links, projects, repositories
from projects.models import Blob, Project, Repository, RepositoryBlob

SHARDS = 256
"""Into so many parts two letters divide the digests."""
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


@dataclass(frozen=True)
class Missing:
    """Something that a row says is present, and the store does not have."""

    row: RepositoryBlob | Blob

    def __str__(self) -> str:
        if isinstance(self.row, Blob):
            return f"data {self.row.digest}"
        return f"{self.row.kind} link {self.row.repository.name}@{self.row.blob.digest}"


def old_uploads(before: datetime) -> Iterator[list[tuple[str, str, int]]]:
    """Repository, uuid and bytes of every upload that nothing was written to since then."""
    for name in files.repositories():
        yield [(name, uuid, upload.size) for uuid, upload in uploads.of(name).items() if upload.last_written < before]


def orphans(before: datetime) -> Iterator[Sequence[Orphan]]:
    """Links without a row that are older than this, then data without a row that no such link leads to."""
    linked: set[str] = set()
    for name in files.repositories():
        unknown = list(_unknown_links(name))
        linked |= {link.digest for link, _ in unknown}
        yield [LinkOrphan(link, found.written) for link, found in unknown if found.written < before]
    for shard in files.shards():
        stored = dict(files.digests_in(shard))
        known = set(Blob.objects.filter(digest__in=stored).values_list("digest", flat=True))
        yield [DataOrphan(digest, stored[digest]) for digest in sorted(stored.keys() - known - linked)]


def take_in(orphan: Orphan) -> None:
    """Give an orphan the rows that it lacks, as old as it is: then it goes as everything goes that nobody needs."""
    if isinstance(orphan, DataOrphan):
        known = {"size": orphan.size, "state": Blob.State.PRESENT}
        Blob.objects.get_or_create(digest=orphan.digest, defaults=known)
        return
    repository = repository_of(orphan.link.repository)
    if repository is None:
        remove_stranger(orphan.link)
        return
    links.take_in(
        repository=repository,
        digest=orphan.link.digest,
        kind=RepositoryBlob.Kind(orphan.link.kind),
        touched=orphan.written,
    )


def repository_of(name: str) -> Repository | None:
    """A repository's row, made when there is a project for it. None when there is none, or the name says none: a
    registry without us has repositories at the top, too."""
    project_name, _, rest = name.partition("/")
    project = Project.objects.live().filter(name=project_name).first() if rest else None
    return repositories.ensure(project=project, name=RepositoryName.parse(name)) if project else None


def remove_stranger(link: Link) -> None:
    """Remove a link in a project that there is not, or in none; nobody makes that project meanwhile."""
    project_name, _, rest = link.repository.partition("/")
    with transaction.atomic():
        projects.hold_name(project_name)
        if not rest or not Project.objects.live().filter(name=project_name).exists():
            files.remove_links(link)


def missing() -> Iterator[list[Missing]]:
    """Rows whose link or data the store does not have."""
    for repository in Repository.objects.filter(project__deleted__isnull=True).order_by("pk").iterator():
        yield [Missing(row) for kind in _KINDS for row in _missing_links(repository, kind)]
    for shard in (f"{number:02x}" for number in range(SHARDS)):
        stored = dict(files.digests_in(shard))
        of_shard = Blob.objects.filter(digest__gte=f"sha256:{shard}", digest__lt=f"sha256:{shard}g")
        unseen_data = of_shard.filter(state=Blob.State.PRESENT).exclude(digest__in=stored)
        yield [Missing(blob) for blob in unseen_data if files.data_size(blob.digest) is None]


def _missing_links(repository: Repository, kind: Kind) -> list[RepositoryBlob]:
    found = {link.digest for link in files.found_links(repository.name, kind)}
    rows = RepositoryBlob.objects.filter(repository=repository, kind=kind, state=RepositoryBlob.State.PRESENT)
    unseen = rows.exclude(blob__digest__in=found).select_related("repository", "blob")
    # It may have come since.
    return [row for row in unseen if files.read_link(links.in_store(row)) is None]


def doubt(missing: Missing) -> None:
    """Say of the row that it proves nothing: who asks is answered by the store, and who pushes it again heals it."""
    row = missing.row
    if isinstance(row, Blob):
        Blob.objects.filter(pk=row.pk, state=Blob.State.PRESENT).update(state=Blob.State.ANNOUNCED)
    else:
        RepositoryBlob.objects.filter(pk=row.pk, state=RepositoryBlob.State.PRESENT).update(
            state=RepositoryBlob.State.ANNOUNCED
        )


def _unknown_links(name: str) -> Iterator[tuple[Link, FoundLink]]:
    rows = RepositoryBlob.objects.filter(repository__name=name, repository__project__deleted__isnull=True)
    known = set(rows.values_list("kind", "blob__digest"))
    for kind in _KINDS:
        for found in files.found_links(name, kind):
            if (kind, found.digest) not in known:
                yield Link(name, kind, found.digest), found
