"""What may go, asked of the rows. Each answer is looked at again, under lock, by who takes it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, TypeVar

from django.db import connection, transaction
from django.db.models import Count, Exists, Model, OuterRef, QuerySet
from django.db.models.expressions import RawSQL

from projects import blobs
from projects.models import Artifact, Blob, Manifest, Reference, RepositoryBlob

M = TypeVar("M", bound=Model)
# So many rows, and so many keys, are in memory at once.
_PAGE = 5000
_KEYS = 50_000


def links(before: datetime) -> QuerySet[RepositoryBlob]:
    """Links that no manifest of their repository needs and nobody counted on since, in projects that live.

    A manifest needs them as long as it is not forgotten, or is on its way.
    """
    return _old_links(before).filter(~Exists(_needing_link()))


def links_without(doomed: Chosen, before: datetime) -> QuerySet[RepositoryBlob]:
    """The same if these artifacts were forgotten."""
    return _old_links(before).filter(~Exists(_needing_link().exclude(artifact__in=doomed.ids())))


def _old_links(before: datetime) -> QuerySet[RepositoryBlob]:
    old = RepositoryBlob.objects.filter(touched__lt=before, repository__project__deleted__isnull=True)
    return old.exclude(state=RepositoryBlob.State.DELETING)


def _needing_link() -> QuerySet[Reference]:
    return Reference.objects.filter(repository=OuterRef("repository"), digest=OuterRef("blob__digest"))


def repositories(before: datetime) -> list[tuple[int, str, int, int]]:
    """Id, name and project (its id) of every repository that has such links, and how many."""
    found = links(before).values_list("repository", "repository__name", "repository__project")
    return list(found.annotate(number=Count("pk")).order_by("repository__name"))


def links_of(repository: int, before: datetime) -> list[int]:
    """The ids of a repository's."""
    return list(links(before).filter(repository=repository).order_by("pk").values_list("pk", flat=True))


def data() -> QuerySet[Blob]:
    """Data that no repository has a link to."""
    return blobs.unlinked().exclude(state=Blob.State.DELETING)


def data_without(gone: Chosen, doomed: Chosen) -> QuerySet[Blob]:
    """The same if these links were gone, and these artifacts forgotten."""
    left = RepositoryBlob.objects.filter(blob=OuterRef("pk")).exclude(pk__in=gone.ids())
    named = Reference.objects.filter(digest=OuterRef("digest")).exclude(artifact__in=doomed.ids())
    return Blob.objects.filter(~Exists(left), ~Exists(named)).exclude(state=Blob.State.DELETING)


def manifests_unlinked() -> int:
    """How many of them are manifests."""
    return data().filter(Exists(Manifest.objects.filter(pk=OuterRef("digest")))).count()


def manifests_among(digests: Sequence[str]) -> set[str]:
    """Which of these are manifests."""
    return set(Manifest.objects.filter(pk__in=digests).values_list("pk", flat=True))


def manifests_nowhere() -> QuerySet[Manifest]:
    """Manifests that are in no repository any more, nor on their way into one."""
    kept = Artifact.objects.filter(manifest=OuterRef("pk"))
    pushed = Reference.objects.pending().filter(digest=OuterRef("pk"), kind=Reference.Kind.SELF)
    return Manifest.objects.filter(~Exists(kept), ~Exists(pushed))


def forget_manifests(digests: Sequence[str]) -> None:
    """Drop the bytes of these manifests, of those that are nowhere still."""
    with transaction.atomic():
        rows = Manifest.objects.select_for_update(skip_locked=True).filter(pk__in=digests).order_by("pk")
        locked = list(rows.values_list("pk", flat=True))
        # In a following statement, so that it sees what was committed before the locks were ours.
        gone = list(manifests_nowhere().filter(pk__in=locked).values_list("pk", flat=True))
        Manifest.objects.filter(pk__in=gone).delete()


class Chosen:
    """Ids for one question to come, of any number, in a table of this connection's alone."""

    def __init__(self, name: str) -> None:
        self._name = f"gc_{name}"
        with connection.cursor() as cursor:
            cursor.execute(f"DROP TABLE IF EXISTS pg_temp.{self._name}")
            cursor.execute(f"CREATE TEMPORARY TABLE {self._name} (id bigint NOT NULL)")

    def add(self, ids: Sequence[int]) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"INSERT INTO pg_temp.{self._name} SELECT unnest(%s::bigint[])", [list(ids)])

    def ids(self) -> RawSQL:
        return RawSQL(f"SELECT id FROM pg_temp.{self._name}", ())  # noqa: S608, S611 - a name of ours


def ids(found: QuerySet[M]) -> Iterator[Any]:
    """The keys of a question's rows; each page is a question of its own, so they are long."""
    keys = found.order_by("pk").values_list("pk", flat=True)
    page = list(keys[:_KEYS])
    while page:
        yield from page
        page = list(keys.filter(pk__gt=page[-1])[:_KEYS])


def in_pages(found: QuerySet[M], size: int = _PAGE) -> Iterator[list[M]]:
    """All rows of a question, so many at a time, by their keys: rows that go meanwhile shift nothing."""
    after = 0
    while page := list(found.filter(pk__gt=after).order_by("pk")[:size]):
        yield page
        after = page[-1].pk
