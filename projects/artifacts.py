"""Artifacts: a manifest's way into a repository, and out of it.

A push is recorded in the order of invariant I2: pending rows for everything the manifest refers to, the
registry's PUT, then one short transaction that makes them live. An answer of 201 is a promise.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import transaction
from django.db.models import Exists, OuterRef

from core import clock, configuration, errors, oci
from core.events import SYSTEM, emit
from core.postgres.prepared import Insert, Statement
from projects import artifact_configs, links, manifest_repair, manifest_rows, quota_news, quotas, tags
from projects.events import ArtifactDeleted, ArtifactPushed
from projects.models import (
    Accessory,
    Artifact,
    Manifest,
    Project,
    Reference,
    Repository,
    RepositoryBlob,
    Tag,
    WebhookPolicy,
)
from rbac.access import Actor

Kind = Reference.Kind
log = structlog.get_logger(__name__)

# Longer than the longest request can live, with a margin: an attempt that sleeps longer finds its rows gone.
PENDING_LIFETIME = timedelta(hours=1)

_HOLD_PROJECT = Statement("bigint", "SELECT true FROM projects_project WHERE id = $1 AND deleted IS NULL FOR KEY SHARE")
_HOLD_REPOSITORY = Statement("bigint", "SELECT deleted IS NULL FROM projects_repository WHERE id = $1 FOR KEY SHARE")
_HOLD_LINKS = Statement(
    "bigint, text[]",
    """
    SELECT wanted.digest, link.kind, link.state FROM (SELECT unnest($2) AS digest ORDER BY 1) wanted, LATERAL (
        SELECT id FROM projects_blob WHERE digest = wanted.digest OFFSET 0
    ) blob, LATERAL (
        SELECT kind, state FROM projects_repositoryblob WHERE repository_id = $1 AND blob_id = blob.id
        ORDER BY kind FOR KEY SHARE
    ) link
    """,
)
_CHILDREN = Statement(
    "bigint, text[]",
    """
    SELECT wanted.digest, manifest.size FROM unnest($2) AS wanted (digest), LATERAL (
        SELECT digest FROM projects_artifact
        WHERE repository_id = $1 AND digest = wanted.digest AND deleted IS NULL OFFSET 0
    ) artifact JOIN projects_manifest manifest ON manifest.digest = artifact.digest
    """,
)
_ADD_PENDING = Statement(
    "bigint, uuid, interval, jsonb",
    """
    INSERT INTO projects_reference
    (repository_id, attempt, expires, kind, "position", digest, size, media_type, descriptor)
    SELECT $1, $2, now() + $3, told.kind, told."position", told.digest, told.size, told.media_type, told.descriptor
    FROM jsonb_to_recordset($4)
    AS told (kind text, "position" integer, digest text, size bigint, media_type text, descriptor jsonb)
    """,
)
_TOLD = ("kind", "position", "digest", "size", "media_type", "descriptor")
_ADD_CONTENT = Insert(Manifest, "ON CONFLICT DO NOTHING")
_ADD_ARTIFACT = Insert(Artifact, "ON CONFLICT DO NOTHING RETURNING id")
_HAS_REFERENCES = Statement("bigint", "SELECT EXISTS (SELECT 1 FROM projects_reference WHERE artifact_id = $1)")
_MAKE_LIVE = Statement(
    "bigint, uuid",
    """
    UPDATE projects_reference SET artifact_id = $1, attempt = NULL, expires = NULL
    WHERE attempt = $2 AND artifact_id IS NULL RETURNING id
    """,
)
# Pushed again an artifact takes over its row, but not what was thought of it: its labels.
_MARK_DELETED = Statement(
    "bigint[], timestamptz",
    """
    WITH labels AS (DELETE FROM projects_artifactlabel WHERE artifact_id = ANY($1)),
    artifacts AS (UPDATE projects_artifact SET deleted = $2 WHERE id = ANY($1))
    UPDATE projects_tag SET deleted = $2 WHERE artifact_id = ANY($1) AND deleted IS NULL RETURNING artifact_id, name
    """,
)
_OWN_LINK_IS_PRESENT = Statement(
    "bigint, text",
    """
    WITH own AS (
        UPDATE projects_blob SET state = 'present', size = (SELECT size FROM projects_manifest WHERE digest = $2)
        WHERE digest = $2 AND state = 'announced'
    )
    UPDATE projects_repositoryblob SET state = 'present', touched = now()
    WHERE repository_id = $1 AND blob_id = (SELECT id FROM projects_blob WHERE digest = $2) AND kind = 'manifest'
    """,
)


@dataclass(frozen=True)
class Pushed:
    """What a push made."""

    digest: str
    subject_digest: str | None


@dataclass(frozen=True)
class Attempt:
    """A manifest on its way into a repository, with its pending rows."""

    manifest: oci.Manifest
    references: Sequence[Reference]
    """Unsaved rows for everything that it refers to, and for itself."""
    number: uuid.UUID
    tags: tuple[str, ...] = ()
    """The tags that it shall have."""
    hung_by: str = ""
    """The tag that hangs it on another manifest, as cosign does; it need not be among its own."""

    @classmethod
    def at(cls, repository: Repository, manifest: oci.Manifest, *, tags: Sequence[str], hung_by: str) -> Attempt:
        references = tuple(manifest_rows.references(manifest, repository))
        return cls(manifest, references, uuid.uuid4(), tuple(tags), hung_by)


def push(*, repository: Repository, manifest: oci.Manifest, tag: str | None, actor: Actor) -> Pushed:
    """Store a manifest in a repository (`repositories.ensure` makes one) and record it, all or nothing.

    Raises ManifestBlobUnknown, ManifestInvalid (sizes that lie), QuotaExceeded, ReadOnly, ProjectUnknown, and
    Unavailable or StoreUnavailable when it may work later.
    """
    _check(repository, manifest)
    attempt = Attempt.at(repository, manifest, tags=[tag] if tag else [], hung_by=tag or "")
    begin(repository, [attempt])
    try:
        manifest_repair.store(repository=repository, manifest=manifest, attempt=attempt.number)
    except (errors.ManifestBlobUnknown, errors.ManifestInvalid):
        # The registry said no and stored nothing. After any other failure the rows stay until they expire:
        # what they name may be there, or half there.
        give_up([attempt])
        raise
    told = artifact_configs.read([manifest])[manifest.digest]
    with quota_news.telling_refusals(repository=repository, actor=actor), transaction.atomic():
        record(repository, [(attempt, told)], actor)
    return Pushed(manifest.digest, manifest.subject.digest if manifest.subject else None)


def delete(*, artifact: Artifact, actor: Actor) -> None:
    """Delete an artifact with its tags, labels and whatever hangs on it. ManifestReferenced while an index needs it."""
    with transaction.atomic():
        # Who deletes the whole repository takes this row first; artifacts he locks in another order than we do.
        _HOLD_REPOSITORY.row(artifact.repository_id)
        row = _claim(artifact.pk)
        _delete([row, *_claim_accessories(row)], actor.name)


def delete_unneeded(*, artifact: Artifact, since: datetime) -> bool:
    """Delete an artifact that no tag, index, subject or accessory has needed since then; False when something does."""
    with transaction.atomic():
        _HOLD_REPOSITORY.row(artifact.repository_id)
        try:
            row = _claim(artifact.pk)
        except (errors.ManifestUnknown, errors.ManifestReferenced):
            return False
        # In a following statement, so that it sees what was committed before the lock was ours.
        if not Artifact.objects.unneeded(since).filter(pk=row.pk).exists():
            return False
        _delete([row], SYSTEM)
    return True


def delete_all(*, repository: Repository, actor: Actor) -> None:
    """Delete every artifact of a repository, inside the caller's transaction that holds the repository's lock."""
    rows = list(Artifact.objects.live().select_for_update(of=("self",)).filter(repository=repository).order_by("pk"))
    tags = _mark_deleted(rows)
    # For webhooks alone, and as a rule nobody wants to hear of thousands of artifacts.
    if WebhookPolicy.objects.wanting(ArtifactDeleted.topic).filter(project=repository.project_id).exists():
        children = Reference.objects.filter(repository=repository, artifact__in=rows, kind=Kind.CHILD)
        # Nobody hears of the parts of an index, as in Harbor: he does of the index.
        parts = set(children.values_list("digest", flat=True))
        roots = [row for row in rows if row.digest not in parts]
        _tell_of_deletions(repository, roots, tags, actor.name, gone_with=repository.name)
    quotas.recount(project=repository.project)


def purge(*, artifacts: Sequence[int]) -> int:
    """Forget deleted artifacts (their ids) with all that they referred to; those that are being pushed again stay.

    Returns how many are gone.
    """
    with transaction.atomic():
        rows = Artifact.objects.filter(deleted__isnull=False, pk__in=artifacts).order_by("pk")
        locked = list(rows.select_for_update(of=("self",), skip_locked=True).values_list("pk", flat=True))
        pushed = Reference.objects.pending().filter(repository=OuterRef("repository"), digest=OuterRef("manifest_id"))
        tagged = Tag.objects.live().filter(artifact=OuterRef("pk"))
        # In a following statement, so that it sees what was committed before the locks were ours.
        free = list(
            Artifact.objects.filter(~Exists(pushed), ~Exists(tagged), pk__in=locked).values_list("pk", flat=True)
        )
        Tag.objects.filter(artifact__in=free).delete()
        Reference.objects.filter(artifact__in=free).delete()
        Artifact.objects.filter(pk__in=free).delete()
    return len(free)


# --- before the registry has it --------------------------------------------------------------------------
def _check(repository: Repository, manifest: oci.Manifest) -> None:
    """Refuse what refers to something that is not there or has another size."""
    blobs = links.sizes(repository=repository, digests=[blob.digest for blob in manifest.blobs])
    children = _CHILDREN.rows(repository.pk, [child.digest for child in manifest.children]) if manifest.children else []
    manifest_rows.check(manifest, blobs=blobs, children=dict(children))


def begin(repository: Repository, attempts: Sequence[Attempt]) -> None:
    """Write the attempts' pending rows and announce the manifests' own links, which nobody can remove from then on.

    Unavailable when such a link is just being removed; then there are no pending rows.
    """
    for attempt in attempts:
        told = [{name: getattr(reference, name) for name in _TOLD} for reference in attempt.references]
        _ADD_PENDING.rows(repository.pk, str(attempt.number), PENDING_LIFETIME, json.dumps(told))
    try:
        for attempt in attempts:
            links.announce(repository=repository, digest=attempt.manifest.digest, kind=RepositoryBlob.Kind.MANIFEST)
    except errors.Unavailable:
        give_up(attempts)
        raise


def give_up(attempts: Sequence[Attempt]) -> None:
    """Take the pending rows of attempts away of which the registry stored nothing."""
    Reference.objects.pending().filter(attempt__in=[attempt.number for attempt in attempts]).delete()


# --- the one transaction that makes it true ------------------------------------------------------------------
def record(repository: Repository, stored: Sequence[tuple[Attempt, dict[str, Any]]], actor: Actor) -> None:
    """Make what the registry has now true, inside the caller's transaction: each with what its configuration tells.

    Parts come before their index. Raises what `hold` raises, Unavailable when pending rows have expired, ReadOnly,
    and QuotaExceeded.
    """
    project = repository.project
    fresh = []
    for attempt, told in stored:
        hold(repository, [attempt.manifest])
        artifact, is_new = _save_artifact(repository, attempt.manifest, told)
        _make_live(artifact, attempt, is_new)
        _save_accessory(artifact, attempt)
        for tag in attempt.tags:
            tags.move(repository=repository, name=tag, artifact=artifact)
        if is_new:
            fresh.append(artifact.pk)
    # Judged again with the rows locked: it may have changed while the registry worked.
    if configuration.get("read_only"):
        raise errors.ReadOnly
    for attempt, _ in stored:
        for tag in attempt.tags or ("",):
            emit(
                ArtifactPushed(
                    actor=actor.name,
                    project_id=project.pk,
                    project=project.name,
                    repository=repository.name,
                    digest=attempt.manifest.digest,
                    tag=tag,
                )
            )
    if fresh:
        quotas.charge(project=project, artifacts=fresh)


def hold(repository: Repository, manifests: Sequence[oci.Manifest]) -> None:
    """Lock what these manifests need until the transaction ends, so that none of it can go; revives the repository.

    Raises ProjectUnknown or ManifestBlobUnknown when something has gone already, Unavailable when it is coming back.
    """
    _hold_project(repository.project)
    _revive(repository)
    _hold_links(repository, manifests)
    _hold_children(repository, manifests)


def _hold_project(project: Project) -> None:
    """Lock the project against deletion; ProjectUnknown when it is gone."""
    if not _HOLD_PROJECT.row(project.pk):
        raise errors.ProjectUnknown(f"project {project.name} was deleted meanwhile")


def _revive(repository: Repository) -> None:
    """Lock the repository against deletion, and make it live."""
    if _HOLD_REPOSITORY.row(repository.pk) != (True,):
        Repository.objects.filter(pk=repository.pk, deleted__isnull=False).update(
            deleted=None, created=clock.now(), updated=clock.now()
        )


def _hold_links(repository: Repository, manifests: Sequence[oci.Manifest]) -> None:
    """Lock the links that the manifests need, in digest order, and see that none was removed or is being removed."""
    needed = {(blob.digest, "layer") for manifest in manifests for blob in manifest.blobs}
    needed |= {(manifest.digest, "manifest") for manifest in manifests}
    held = _HOLD_LINKS.rows(repository.pk, [digest for digest, _ in needed])
    states = {(digest, kind): state for digest, kind, state in held if state != RepositoryBlob.State.DELETING}
    if missing := needed - states.keys():
        raise errors.ManifestBlobUnknown(detail=[{"digest": digest} for digest, _ in sorted(missing)])
    # The store had every layer when the push began. A link that proves nothing now is a new one: the old one was
    # removed meanwhile, and somebody is uploading again. The manifest's own was announced by this push.
    again = {
        digest for digest, kind in needed if kind == "layer" and states[digest, kind] != RepositoryBlob.State.PRESENT
    }
    if again:
        raise errors.Unavailable(f"{min(again)} is being uploaded again at this moment; try again.")


def _hold_children(repository: Repository, manifests: Sequence[oci.Manifest]) -> None:
    needed = {child.digest for manifest in manifests for child in manifest.children}
    if not needed:
        return
    held = Artifact.objects.raw(
        """
        SELECT id, digest FROM projects_artifact
        WHERE repository_id = %s AND digest = ANY(%s) AND deleted IS NULL ORDER BY id FOR KEY SHARE
        """,
        [repository.pk, list(needed)],
    )
    if missing := needed - {artifact.manifest_id for artifact in held}:
        raise errors.ManifestBlobUnknown(detail=[{"digest": digest} for digest in sorted(missing)])


def _save_artifact(repository: Repository, manifest: oci.Manifest, extra: dict[str, Any]) -> tuple[Artifact, bool]:
    """The artifact's row, locked, and whether it was not live before."""
    _ADD_CONTENT.row(manifest_rows.content(manifest))
    facts = manifest_rows.artifact_facts(manifest, told=extra, pushed=clock.now())
    fresh = Artifact(repository=repository, manifest_id=manifest.digest, **facts)
    there = Artifact.objects.filter(repository=repository, manifest_id=manifest.digest)
    artifact = None
    # One that was deleted may be forgotten between the two.
    while artifact is None:
        if added := _ADD_ARTIFACT.row(fresh):
            fresh.pk = added[0]
            return fresh, True
        # A row that was there, live or not, is judged under its lock.
        artifact = there.select_for_update(of=("self",), no_key=True).first()
    is_new = artifact.deleted is not None
    for name, value in facts.items():
        setattr(artifact, name, value)
    artifact.deleted = None
    artifact.save(update_fields=[*facts, "deleted"])
    return artifact, is_new


def _make_live(artifact: Artifact, attempt: Attempt, is_new: bool) -> None:
    """Turn the attempt's pending rows live, or drop them when the artifact has its own already."""
    if is_new and _HAS_REFERENCES.row(artifact.pk) == (False,):
        changed = len(_MAKE_LIVE.rows(artifact.pk, str(attempt.number)))
    else:
        changed = Reference.objects.pending().filter(attempt=attempt.number).delete()[0]
    if changed != len(attempt.references):
        raise errors.Unavailable("It took too long and was given up; try again.")
    _OWN_LINK_IS_PRESENT.rows(artifact.repository_id, artifact.digest)


def _save_accessory(artifact: Artifact, attempt: Attempt) -> None:
    row = manifest_rows.accessory(artifact, attempt.manifest, attempt.hung_by)
    if row is not None:
        facts = {"repository_id": row.repository_id, "subject_digest": row.subject_digest, "kind": row.kind}
        Accessory.objects.update_or_create(artifact=artifact, defaults=facts)


# --- deleting ------------------------------------------------------------------------------------------------
def _claim(artifact_id: int) -> Artifact:
    """Lock an artifact for deletion; looked at again after the lock is ours, in a following statement."""
    row = Artifact.objects.live().select_for_update(of=("self",)).filter(pk=artifact_id).first()
    if row is None:
        raise errors.ManifestUnknown
    parents = Reference.objects.filter(repository_id=row.repository_id, digest=row.digest, kind=Kind.CHILD)
    if parents.filter(artifact__deleted__isnull=True).exists():
        # A pending parent has no artifact, which the join reads as not deleted: it counts, as it should.
        raise errors.ManifestReferenced(detail=row.digest)
    return row


def _claim_accessories(artifact: Artifact) -> list[Artifact]:
    """Lock whatever hangs on an artifact, however deep."""
    found: dict[int, Artifact] = {}
    wanted = [artifact.digest]
    while wanted:
        rows = (
            Artifact.objects.live()
            .select_for_update(of=("self",))
            .filter(repository_id=artifact.repository_id, accessory_of__subject_digest__in=wanted)
            .exclude(pk__in=[artifact.pk, *found])
            .order_by("pk")
        )
        found.update({row.pk: row for row in rows})
        wanted = [row.digest for row in rows]
    return list(found.values())


def _delete(rows: Sequence[Artifact], actor: str) -> None:
    """Mark locked artifacts of one repository as deleted, and say so of the first, on which the others hang."""
    repository = Repository.objects.select_related("project").get(pk=rows[0].repository_id)
    tags = _mark_deleted(rows)
    _tell_of_deletions(repository, rows[:1], tags, actor)
    _tell_of_deletions(repository, rows[1:], tags, actor, gone_with=rows[0].digest)
    # Together: a blob that two of them share is counted once.
    quotas.refund(project=repository.project, artifacts=[row.pk for row in rows])


def _mark_deleted(rows: Sequence[Artifact]) -> dict[int, list[str]]:
    """Mark locked artifacts and their tags as deleted; the names of these tags by the artifacts' ids."""
    tags: dict[int, list[str]] = {}
    for artifact_id, name in _MARK_DELETED.rows([row.pk for row in rows], clock.now()):
        tags.setdefault(artifact_id, []).append(name)
    return tags


def _tell_of_deletions(
    repository: Repository, rows: Sequence[Artifact], tags: Mapping[int, Sequence[str]], actor: str, gone_with: str = ""
) -> None:
    for row in rows:
        emit(
            ArtifactDeleted(
                actor=actor,
                project_id=repository.project_id,
                project=repository.project.name,
                repository=repository.name,
                digest=row.digest,
                tags=tuple(sorted(tags.get(row.pk, ()))),
                gone_with=gone_with,
            )
        )
