"""Usage is a query (invariant I13): distinct blobs, by their real size, that a project's live artifacts refer to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from django.db import connection, transaction

from core import configuration, errors
from core.events import emit
from core.postgres.prepared import Statement
from projects import finders, quota_news
from projects.events import QuotaUpdated
from projects.models import Project, Quota, Repository
from rbac.access import Actor

STORAGE = "storage"
"""The one resource that is limited."""
WARN_AT = 0.85
"""Of the limit; Harbor's."""

# What counts: configurations, layers and the manifests themselves. A blob counts once per project.
_USED = """
SELECT coalesce(sum(size), 0) FROM (
    SELECT DISTINCT ON (reference.digest) reference.size
    FROM projects_reference reference
    JOIN projects_artifact artifact ON artifact.id = reference.artifact_id AND artifact.deleted IS NULL
    JOIN projects_repository repository ON repository.id = artifact.repository_id
    WHERE repository.project_id = %(project)s AND reference.kind IN ('self', 'config', 'layer')
) counted
"""
# What artifacts add: their blobs that no other live artifact of the project refers to. Looked up artifact by artifact
# and blob by blob: as one join it would go through all there are whenever Postgres thinks that cheaper.
_OWN = Statement(
    "bigint, bigint[]",
    """
    WITH mine AS MATERIALIZED (
        SELECT DISTINCT ON (digest) digest, size FROM unnest($2) AS added (id), LATERAL (
            SELECT digest, size FROM projects_reference
            WHERE artifact_id = added.id AND kind IN ('self', 'config', 'layer') OFFSET 0
        ) reference
    )
    SELECT coalesce(sum(size), 0) FROM mine LEFT JOIN LATERAL (
        SELECT true AS is_needed FROM projects_reference other
        WHERE other.digest = mine.digest AND other.kind IN ('self', 'config', 'layer') AND other.artifact_id <> ALL($2)
          AND $1 = (
            SELECT repository.project_id FROM projects_artifact artifact
            JOIN projects_repository repository ON repository.id = artifact.repository_id
            WHERE artifact.id = other.artifact_id AND artifact.deleted IS NULL
          )
        LIMIT 1
    ) elsewhere ON true
    WHERE is_needed IS NULL
    """,
)
_SAVE = Statement("bigint, bigint", "UPDATE projects_quota SET used = $2, updated = now() WHERE id = $1")


def charge(*, project: Project, artifacts: Sequence[int]) -> None:
    """Add what these newly live artifacts (their ids) need; QuotaExceeded when the limit forbids it.

    To be called as the last step of the transaction: the row's lock makes pushes of one project queue.
    """
    quota = _locked(project)
    added = _own_bytes(project, list(artifacts))
    if _is_limited(quota) and added and quota.used + added > quota.hard:
        raise errors.QuotaExceeded(
            f"adding {human(added)} of storage resource, which when updated to current usage of {human(quota.used)} "
            f"will exceed the configured upper limit of {human(quota.hard)}."
        )
    _add(quota, added, artifacts)


def add(*, project: Project, artifacts: list[int]) -> None:
    """Add what these newly live artifacts (their ids) need, over the limit too: their bytes are there already.

    Last step of the transaction, as `charge`.
    """
    quota = _locked(project)
    _add(quota, _own_bytes(project, artifacts), artifacts)


def refund(*, project: Project, artifacts: Sequence[int]) -> None:
    """Take away what these artifacts (their ids) needed that are no longer live; last step, as `charge`."""
    quota = _locked(project)
    _save(quota, max(0, quota.used - _own_bytes(project, list(artifacts))))


def change(*, quota: Quota, hard: Mapping[str, int], actor: Actor) -> None:
    """Give a project another limit, also one below what it uses already: then nothing more fits.

    `hard` is Harbor's resource list, `{"storage": bytes}`. BadRequest when it names something else or a limit
    that cannot be, NotFound when the project was deleted meanwhile.
    """
    limit = _limit_in(hard)
    with transaction.atomic():
        rows = Quota.objects.live().select_for_update(of=("self",)).select_related("project")
        row: Quota | None = rows.filter(pk=quota.pk).first()
        if row is None:
            raise errors.NotFound(f"quota {quota.pk} not found")
        row.hard = limit
        row.save(update_fields=["hard", "updated"])
        quota_news.tell_again(row.project_id)
        emit(QuotaUpdated(actor=actor.name, project_id=row.project_id, project=row.project.name, hard=limit))


def checked(limit: int) -> int:
    """A storage limit that can be: -1 for none, or a number of bytes. BadRequest for others."""
    if not configuration.is_storage_limit(limit):
        raise errors.BadRequest(
            f"invalid value for resource {STORAGE}: it is a number of bytes from 1 to {configuration.STORAGE_MOST} "
            "(1024 TiB), or -1 for no limit"
        )
    return limit


def recount(*, project: Project) -> int:
    """Set the kept number to what the query says, and return it, in bytes."""
    quota = _locked(project)
    used = usage(project=project)
    _save(quota, used)
    return used


def usage(*, project: Project) -> int:
    """Bytes in use, asked of the references."""
    with connection.cursor() as cursor:
        cursor.execute(_USED, {"project": project.pk})
        return int(cursor.fetchone()[0])


def is_spent(*, project: Project) -> bool:
    """Whether nothing more fits, so that an upload need not even start."""
    quota = getattr(project, "quota", None)
    return quota is not None and _is_limited(quota) and quota.used >= quota.hard


def human(size: int) -> str:
    """A size as people write it: 10.0 MiB."""
    amount = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def _limit_in(hard: Mapping[str, int]) -> int:
    for resource in hard:
        if resource != STORAGE:
            raise errors.BadRequest(f"resource {resource[:100]} not support: only {STORAGE} has a limit")
    if STORAGE not in hard:
        raise errors.BadRequest(f"resource {STORAGE} not found")
    return checked(hard[STORAGE])


def _own_bytes(project: Project, artifacts: list[int]) -> int:
    row = _OWN.row(project.pk, artifacts)
    return int(row[0]) if row else 0


def _is_limited(quota: Quota) -> bool:
    return quota.hard != Quota.UNLIMITED and bool(configuration.get("quota_per_project_enable"))


def _locked(project: Project) -> Quota:
    quota = finders.locked_quota_of(project.pk)
    if quota is None:
        Quota.objects.bulk_create([Quota(project=project)], ignore_conflicts=True)
        quota = Quota.objects.select_for_update().get(project=project)
    return quota


def _add(quota: Quota, added: int, artifacts: Sequence[int]) -> None:
    """Save what is used now, and say so when that passes what is worth a warning; once each time that it is passed."""
    used = quota.used + added
    if _is_limited(quota) and quota.used < quota.hard * WARN_AT <= used:
        repository = Repository.objects.select_related("project").filter(artifacts__in=artifacts).first()
        if repository is not None:
            message = f"quota usage reach {WARN_AT:.0%}: resource storage used {human(used)} of {human(quota.hard)}"
            quota_news.tell_warning(repository=repository, message=message)
    _save(quota, used)


def _save(quota: Quota, used: int) -> None:
    if used < quota.used and quota.hard != Quota.UNLIMITED:
        quota_news.tell_again(quota.project_id)
    if quota.used != used:
        quota.used = used
        _SAVE.rows(quota.pk, used)
