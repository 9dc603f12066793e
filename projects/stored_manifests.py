"""Manifests that the registry's store had before we knew of them: made artifacts, many in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from core import clock, oci
from core.events import SYSTEM, emit
from projects import artifacts, links, manifest_rows, quotas, tags
from projects.events import RepositoryAdopted
from projects.models import Accessory, Artifact, Manifest, Reference, Repository, RepositoryBlob


@dataclass(frozen=True)
class Stored:
    """A manifest as it lies in the store."""

    manifest: oci.Manifest
    pushed: datetime
    told: dict[str, Any]
    """What its configuration tells."""
    tags: Mapping[str, datetime]
    """The tags that point to it there, each with when it was pushed."""

    @property
    def accessory_tag(self) -> str:
        """The tag that hangs it on another manifest; '' when there is none."""
        return next((tag for tag in sorted(self.tags) if oci.is_accessory_tag(tag)), "")


def record(*, repository: Repository, found: Sequence[Stored], move_tags: bool) -> set[str]:
    """Make them artifacts with their tags, all or nothing; the names of the tags that now point where they should.

    Whoever calls saw their blobs and links in the store, with the sizes that the manifests say, and recorded their
    children before. An artifact that was deleted here becomes live again, a tag that points elsewhere stays unless
    `move_tags`. Raises what `artifacts.hold` raises.
    """
    with transaction.atomic():
        manifests = [each.manifest for each in found]
        Manifest.objects.bulk_create([manifest_rows.content(manifest) for manifest in manifests], ignore_conflicts=True)
        _record_links(repository, manifests)
        artifacts.hold(repository, manifests)
        rows = _insert(repository, found)
        fresh = [(rows[each.manifest.digest], each) for each in found if rows[each.manifest.digest].deleted is not None]
        _make_live([row for row, _ in fresh])
        _insert_references(repository, fresh)
        _insert_accessories(fresh)
        wanted = {tag: (rows[each.manifest.digest], pushed) for each in found for tag, pushed in each.tags.items()}
        settled = tags.take_over(repository=repository, wanted=wanted, move=move_tags)
        emit(
            RepositoryAdopted(
                actor=SYSTEM,
                project_id=repository.project_id,
                project=repository.project.name,
                repository=repository.name,
                artifacts=len(fresh),
                tags=len(settled),
            )
        )
        quotas.add(project=repository.project, artifacts=[row.pk for row, _ in fresh])
    return settled


def _record_links(repository: Repository, manifests: Sequence[oci.Manifest]) -> None:
    blobs = {blob.digest: blob.size for manifest in manifests for blob in manifest.blobs}
    links.record_all_present(repository=repository, sizes=blobs)
    themselves = {manifest.digest: manifest.size for manifest in manifests}
    links.record_all_present(repository=repository, sizes=themselves, kind=RepositoryBlob.Kind.MANIFEST)


def _insert(repository: Repository, found: Sequence[Stored]) -> dict[str, Artifact]:
    """The artifacts' rows by digest, locked; those that were not live have a deletion time."""
    now = clock.now()
    rows = [
        Artifact(
            repository=repository,
            manifest_id=each.manifest.digest,
            deleted=now,
            **manifest_rows.artifact_facts(each.manifest, told=each.told, pushed=each.pushed),
        )
        for each in found
    ]
    Artifact.objects.bulk_create(rows, ignore_conflicts=True)
    held = Artifact.objects.select_for_update(of=("self",), no_key=True).filter(
        repository=repository, manifest__in=[row.digest for row in rows]
    )
    return {row.digest: row for row in held.order_by("pk")}


def _make_live(rows: Sequence[Artifact]) -> None:
    Artifact.objects.filter(pk__in=[row.pk for row in rows]).update(deleted=None)


def _insert_references(repository: Repository, fresh: Sequence[tuple[Artifact, Stored]]) -> None:
    """Their references, for those that do not have theirs from an earlier life."""
    ids = [row.pk for row, _ in fresh]
    having = set(Reference.objects.filter(artifact__in=ids).values_list("artifact_id", flat=True).distinct())
    references = []
    for row, each in fresh:
        if row.pk not in having:
            for reference in manifest_rows.references(each.manifest, repository):
                reference.artifact = row
                references.append(reference)
    Reference.objects.bulk_create(references, batch_size=2000)


def _insert_accessories(fresh: Sequence[tuple[Artifact, Stored]]) -> None:
    rows = [manifest_rows.accessory(row, each.manifest, each.accessory_tag) for row, each in fresh]
    Accessory.objects.bulk_create([row for row in rows if row is not None], ignore_conflicts=True)
