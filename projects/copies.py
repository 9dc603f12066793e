"""Copying an artifact into another repository, without moving its bytes.

Pending rows first, as for a push (invariant I2); then each blob is mounted from a repository that has it; then the
registry gets the manifests, parts before the whole; then one transaction makes all of it true, or nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter

from django.db import transaction
from django.db.models import Sum

from core import errors, locks, oci
from core.store import client
from projects import artifacts, contents, links, manifest_repair, manifest_rows, quota_news
from projects.artifacts import Attempt
from projects.models import Accessory, Artifact, Manifest, Reference, Repository, RepositoryBlob, Tag
from rbac.access import Actor

# What one copy may consist of, an index with its parts and all that hangs on them, for it is one request's work:
# manifests, their bytes, and blobs, each of which takes some milliseconds.
MOST_MANIFESTS = 1000
MOST_BYTES = 16 * 1024 * 1024
MOST_BLOBS = 5000
# Where a blob is looked for when the source has lost it.
_HOLDERS_ASKED = 20


@dataclass(frozen=True)
class Piece:
    """One manifest to be copied."""

    artifact: Artifact
    manifest: oci.Manifest
    tags: tuple[str, ...]
    """The tags that go along."""
    hung_by: str
    """The tag that hangs it on another manifest; '' when its own `subject` does, or when nothing does."""


def copy(*, source: Artifact, repository: Repository, actor: Actor) -> None:
    """Copy an artifact with its tags, its parts if it is an index, and whatever hangs on them.

    `repository` is one of `repositories.ensure`'s. A tag of the same name there comes to point to the copy, as after
    a push. Raises Denied for what hangs on another artifact, NotFound when a blob of the source is nowhere in the
    store, and otherwise what `artifacts.push` raises.
    """
    if Accessory.objects.filter(artifact=source).exists():
        raise errors.Denied("A signature or another accessory is copied with what it belongs to, not by itself.")
    if source.repository_id == repository.pk:
        # It is there, with its tags and everything.
        return
    pieces = _missing(_gather(source), source, repository)
    attempts = [Attempt.at(repository, piece.manifest, tags=piece.tags, hung_by=piece.hung_by) for piece in pieces]
    artifacts.begin(repository, attempts)
    try:
        _mount_all(pieces, source.repository, repository)
        for attempt in attempts:
            manifest_repair.store(repository=repository, manifest=attempt.manifest, attempt=attempt.number)
    except (errors.NotFound, errors.ManifestBlobUnknown, errors.ManifestInvalid):
        # A clear no. Whatever was stored by then has links that are young, which garbage collection leaves alone.
        artifacts.give_up(attempts)
        raise
    told = [piece.artifact.extra_attrs for piece in pieces]
    with quota_news.telling_refusals(repository=repository, actor=actor), transaction.atomic():
        # Two copies with common parts would lock these in different orders.
        locks.wait_in_transaction(f"copy into repository {repository.pk}")
        artifacts.record(repository, list(zip(attempts, told, strict=True)), actor)


# --- what belongs to it -----------------------------------------------------------------------------------------
def _gather(source: Artifact) -> list[Piece]:
    """The artifact, its parts and whatever hangs on one of them, however deep; parts before their index."""
    found = {source.digest: source}
    wanted = [source]
    while wanted:
        if len(found) > MOST_MANIFESTS:
            raise _too_large(f"more than {MOST_MANIFESTS} manifests")
        wanted = [row for row in _next(wanted, source.repository_id) if row.digest not in found]
        found.update({row.digest: row for row in wanted})
    if (Manifest.objects.filter(pk__in=found).aggregate(total=Sum("size"))["total"] or 0) > MOST_BYTES:
        raise _too_large(f"manifests of more than {MOST_BYTES} bytes")
    pieces = {piece.manifest.digest: piece for piece in _pieces(source, found.values())}
    if len({blob.digest for piece in pieces.values() for blob in piece.manifest.blobs}) > MOST_BLOBS:
        raise _too_large(f"more than {MOST_BLOBS} blobs")
    parts = {
        digest: {part.digest for part in piece.manifest.children} & pieces.keys() for digest, piece in pieces.items()
    }
    return [pieces[digest] for digest in TopologicalSorter(parts).static_order()]


def _next(rows: Sequence[Artifact], repository_id: int) -> list[Artifact]:
    """The parts of these artifacts, and what hangs on them."""
    parts = Reference.objects.filter(artifact__in=rows, kind=Reference.Kind.CHILD).values_list("digest", flat=True)
    hanging = Accessory.objects.filter(repository=repository_id, subject_digest__in=[row.digest for row in rows])
    digests = {*parts, *hanging.values_list("artifact__manifest_id", flat=True)}
    return list(Artifact.objects.live().filter(repository=repository_id, manifest__in=digests))


def _pieces(source: Artifact, rows: Iterable[Artifact]) -> Iterator[Piece]:
    """Tags go along with the artifact itself; of what hangs on it only those by which clients find it."""
    tags: dict[int, list[Tag]] = {}
    # Those deleted too: what was hung by a tag keeps hanging there without it.
    for tag in Tag.objects.filter(artifact__in=rows).order_by("name"):
        tags.setdefault(tag.artifact_id, []).append(tag)
    accessories = set(Accessory.objects.filter(artifact__in=rows).values_list("artifact_id", flat=True))
    for row in Artifact.objects.filter(pk__in=[each.pk for each in rows]).select_related("manifest"):
        mine = tags.get(row.pk, [])
        hanging = [tag for tag in mine if row.pk in accessories and oci.is_accessory_tag(tag.name)]
        kept = [tag.name for tag in (mine if row.pk == source.pk else hanging) if tag.deleted is None]
        manifest = contents.manifest_of(row)
        yield Piece(row, manifest, tuple(kept), hanging[0].name if hanging else "")


def _missing(pieces: Sequence[Piece], source: Artifact, repository: Repository) -> list[Piece]:
    """Those that the repository does not have yet; the artifact itself always, for its tags."""
    here = Artifact.objects.live().filter(
        repository=repository, manifest__in=[piece.manifest.digest for piece in pieces]
    )
    known = set(here.values_list("manifest_id", flat=True)) - {source.digest}
    return [piece for piece in pieces if piece.manifest.digest not in known]


def _too_large(what: str) -> errors.Refusal:
    return errors.Precondition(
        f"With all that hangs on it the artifact consists of {what}; copy it with a client, for example "
        "`skopeo copy --all`."
    )


# --- the registry ---------------------------------------------------------------------------------------------------
def _mount_all(pieces: Sequence[Piece], source: Repository, repository: Repository) -> None:
    """Give the repository a link to every blob, and see that all is there with the sizes that the manifests say."""
    wanted = {blob.digest for piece in pieces for blob in piece.manifest.blobs}
    there = links.sizes(repository=repository, digests=wanted)
    for digest in sorted(wanted - there.keys()):
        links.announce(repository=repository, digest=digest)
        _mount(digest, source, repository)
    sizes = links.sizes(repository=repository, digests=wanted)
    for piece in pieces:
        # Parts that were there already are locked, and looked for, when all is recorded.
        parts = {part.digest: part.size for part in piece.manifest.children}
        manifest_rows.check(piece.manifest, blobs=sizes, children=parts)


def _mount(digest: str, source: Repository, repository: Repository) -> None:
    for name in (source.name, *_other_holders(digest, source, repository)):
        is_kept = links.touch(repository_name=name, digest=digest)
        if is_kept and client.mount_blob(repository=repository.name, digest=digest, source=name):
            return
    raise errors.NotFound(f"The artifact is damaged: {digest} is not in the store any more; push it again.")


def _other_holders(digest: str, *but: Repository) -> list[str]:
    """Repositories that have the blob too, whoever they belong to: the source's reader may read these bytes."""
    holding = RepositoryBlob.objects.filter(
        blob__digest=digest,
        kind=RepositoryBlob.Kind.LAYER,
        state=RepositoryBlob.State.PRESENT,
        repository__project__deleted__isnull=True,
    ).exclude(repository__in=but)
    return list(holding.order_by("-touched").values_list("repository__name", flat=True)[:_HOLDERS_ASKED])
